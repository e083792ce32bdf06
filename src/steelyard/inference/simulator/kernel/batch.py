"""One replica: which step comes next, and what it did once it is over."""

from __future__ import annotations

from steelyard.inference.simulator.kernel import prefixes
from steelyard.inference.simulator.kernel.compiled import inner
from steelyard.inference.simulator.kernel.costs import decode_cost, room_in_cell, step_cost
from steelyard.inference.simulator.kernel.layout import IDLE, IN_BATCH, JUMP, KV_USE, NONE, STEP, TOKENS
from steelyard.inference.simulator.kernel.measures import record_gaps
from steelyard.inference.simulator.kernel.pool import (
    available,
    blocks_of,
    full_place,
    give_back,
    growth,
    keep_prefix,
    link_running,
    preempt_last,
    start_decoding,
    steps_within,
    stop_decoding,
    take,
    unlink_running,
)  # fmt: skip
from steelyard.inference.simulator.kernel.queues import finish_key, finish_request, finish_step, pop, push
from steelyard.inference.simulator.kernel.timeline import spread

_FOREVER = 1 << 60


@inner
def plan(s, r, now):
    """Choose what a replica does from now on, as its engine's scheduler would."""
    replica = s.replicas[r]
    role = s.roles[replica.role]
    preemptions = s.world[0].preemptions
    # Every decoding sequence needs room for one more token.
    while s.residues[r, full_place(replica.step, role.block_tokens)] > available(replica, role):
        preempt_last(s, r, now)
    room = role.token_budget - (replica.decoding if role.mixed else 0)
    replica.fresh = NONE
    tokens, attended = _resume_prompt(s, r, now, room)
    grow = s.residues[r, full_place(replica.step, role.block_tokens)]
    if s.world[0].preemptions == preemptions:
        more, also = _admit(s, r, room - tokens, grow, tokens)
        tokens += more
        attended += also
    replica.start = now
    if tokens > 0:
        _set_step(s, r, tokens, attended)
    elif replica.decoding > 0:
        _set_jump(s, r, s.world[0].preemptions > preemptions)
    else:
        replica.doing = IDLE
        replica.end = 1e300
        replica.idle_since = now


@inner
def _resume_prompt(s, r, now, room):
    """Give the prompt that is under way its next chunk; return tokens and the context they attend to."""
    replica = s.replicas[r]
    q = replica.partial
    if q == NONE:
        return 0, 0.0
    role, request = s.roles[replica.role], s.requests[q]
    chunk = min(request.target - request.filled, room)
    if chunk <= 0:
        return 0, 0.0
    extra = blocks_of(request.filled + chunk, role.block_tokens) - blocks_of(request.filled, role.block_tokens)
    while extra + s.residues[r, full_place(replica.step, role.block_tokens)] > available(replica, role):
        preempt_last(s, r, now)
        if replica.partial == NONE:
            return 0, 0.0
    take(s, r, extra)
    s.world[0].prefilled += chunk
    request.chunk = chunk
    replica.fresh = q
    replica.partial = NONE
    return chunk, chunk * (request.filled + 0.5 * chunk)


@inner
def _admit(s, r, room, grow, begun):
    """Start waiting requests, first come first served, while there is room; return tokens and attended context."""
    replica = s.replicas[r]
    role = s.roles[replica.role]
    tokens, attended, reserved = 0, 0.0, grow
    if role.static and replica.decoding > 0:
        return tokens, attended
    while replica.wait_head != NONE and replica.running < role.max_sequences:
        q = replica.wait_head
        request = s.requests[q]
        request.target = request.isl + request.done
        hit = _cached_blocks(s, r, q)
        ready = (
            hit * role.entry_blocks * role.block_tokens
            if request.hash_count
            else min(request.cached, request.target - 1)
        )
        if request.sent:
            ready = request.target
        chunk = request.target - ready
        if chunk > room - tokens:
            if role.chunked:
                chunk = room - tokens
            elif tokens + begun > 0:
                break
        if chunk <= 0 and not request.sent:
            break
        # What it takes now, and what must be left: the next token of one that decodes at once, all of a static batch.
        most = request.isl + request.osl if role.static else ready + chunk + request.sent
        need = blocks_of(most, role.block_tokens) - hit * role.entry_blocks
        if need + reserved > available(replica, role) - _unused_hits(s, r, q, hit) * role.entry_blocks:
            break
        _start(s, r, q, hit, ready, chunk)
        tokens += chunk
        attended += chunk * (ready + 0.5 * chunk)
        reserved += need + hit * role.entry_blocks - blocks_of(ready + chunk, role.block_tokens)
    return tokens, attended


@inner
def _cached_blocks(s, r, q):
    """Return how many leading blocks of a prompt need no computing; its last token always does."""
    request = s.requests[q]
    if request.hash_count == 0 or request.sent:
        return 0
    role = s.roles[s.replicas[r].role]
    most = min((request.isl - 1) // (role.entry_blocks * role.block_tokens), request.hash_count)
    return prefixes.matched(s.slots[r], s.entry_hash[r], s.hashes, request.hash_start, most)


@inner
def _unused_hits(s, r, q, hit):
    """Return how many of the hit blocks no running request holds: they stop being available."""
    unused = 0
    request = s.requests[q]
    for i in range(hit):
        entry = prefixes.find(s.slots[r], s.entry_hash[r], s.hashes[request.hash_start + i])
        unused += s.entry_refs[r, entry] == 0
    return unused


@inner
def _start(s, r, q, hit, ready, chunk):
    """Move the head of the queue into the batch with its first chunk."""
    replica, request, world = s.replicas[r], s.requests[q], s.world[0]
    role = s.roles[replica.role]
    replica.wait_head = request.next
    if replica.wait_head == NONE:
        replica.wait_tail = NONE
    replica.waiting -= 1
    if hit:
        prefixes.hold(
            replica, s.slots[r], s.entry_hash[r], s.entry_refs[r], s.entry_prev[r], s.entry_next[r],
            s.hashes, request.hash_start, hit,
        )  # fmt: skip
    request.entries = hit
    request.cached = ready if request.hash_count else request.cached
    take(s, r, blocks_of(ready + chunk, role.block_tokens) - hit * role.entry_blocks)
    request.filled = ready
    request.chunk = chunk
    link_running(replica, s.requests, q)
    world.prefilled += chunk
    if request.preemptions == 0 and not request.sent:
        world.reused += ready
        world.hit_blocks += hit
        world.asked_blocks += request.hash_count
    if request.sent:  # its cache came from another device: it decodes from the next step on
        request.sent = 0
        start_decoding(s, r, q, 1)
    elif replica.fresh == NONE:
        replica.fresh = q


@inner
def _set_step(s, r, tokens, attended):
    """One step with prompts."""
    replica = s.replicas[r]
    role = s.roles[replica.role]
    sequences = replica.decoding if role.mixed else 0
    context = replica.context / sequences if sequences else 0.0
    seconds, joules = step_cost(
        role, s.grids[replica.role], s.costs[replica.role], sequences, tokens, context, attended / tokens
    )
    if role.mixed:
        take(s, r, s.residues[r, full_place(replica.step, role.block_tokens)])
    replica.doing = STEP
    replica.steps = 1
    replica.first_s = seconds
    replica.slope_s = 0.0
    replica.end = replica.start + seconds
    replica.energy_per_step = joules


@inner
def _set_jump(s, r, once):
    """Many steps of the same batch: until a sequence ends, the pool is full or the table's next cell begins."""
    replica = s.replicas[r]
    role = s.roles[replica.role]
    grid = s.grids[replica.role]
    heap = s.heaps[r]
    while True:
        request = s.requests[finish_request(heap[0])]
        if request.finish == finish_step(heap[0]) and request.replica == r:
            break
        replica.heap_size -= 1  # of one that was preempted
        pop(heap, replica.heap_size + 1)
    context = replica.context / replica.decoding
    rise = replica.alive / replica.decoding
    seconds, more_s, joules, more_j = decode_cost(role, grid, s.costs[replica.role], replica.decoding, context)
    steps = 1 if once else finish_step(heap[0]) - replica.step
    if steps > 1:
        within = room_in_cell(role, grid, context) - context
        if within < steps * rise:
            steps = max(1, min(steps, int(within / rise) + 1))
        room = available(replica, role)
        if (steps // role.block_tokens + 1) * replica.alive > room:
            steps = max(1, steps_within(s.residues[r], replica.step, room, role.block_tokens, replica.alive, steps))
    replica.doing = JUMP
    replica.steps = steps
    replica.first_s = seconds
    replica.slope_s = more_s * rise
    replica.energy_per_step = joules + 0.5 * more_j * rise * (steps - 1)
    replica.end = replica.start + jump_seconds(replica, steps)


@inner
def jump_seconds(replica, steps):
    """Return the time of so many steps, each a little longer than the one before."""
    return steps * (replica.first_s + 0.5 * replica.slope_s * (steps - 1))


@inner
def cut_jump(replica, now):
    """End a jump with the step that runs at `now`, so that an arrival is seen at the next one."""
    passed = now - replica.start
    steps = int(passed / (replica.first_s + replica.slope_s * replica.steps))  # no fewer have passed
    while steps < replica.steps and jump_seconds(replica, steps) < passed:
        steps += 1
    steps = max(1, steps)
    while steps > 1 and jump_seconds(replica, steps - 1) >= passed:
        steps -= 1
    replica.steps = steps
    replica.end = replica.start + jump_seconds(replica, steps)


@inner
def advance(s, r):
    """Account for what a replica did until now, up to finishing requests and first tokens."""
    replica = s.replicas[r]
    role = s.roles[replica.role]
    steps = replica.steps if replica.doing == JUMP or role.mixed else 0
    seconds, slots_per_s = replica.end - replica.start, s.world[0].slots_per_s
    used = role.kv_blocks - available(replica, role)
    if steps and replica.alive:
        if replica.doing == JUMP:
            take(s, r, growth(s.residues[r], replica.step, steps, role.block_tokens, replica.alive))
        replica.step += steps
        replica.context += steps * replica.alive
        record_gaps(s.histograms, seconds / steps, float(steps * replica.alive))
        spread(s.timeline, slots_per_s, replica.start, replica.end, TOKENS, float(steps * replica.alive))
    after = role.kv_blocks - available(replica, role)
    replica.busy_s += seconds
    replica.energy_j += replica.energy_per_step * replica.steps
    replica.block_s += 0.5 * (used + after) * seconds
    replica.sequence_s += replica.running * seconds
    spread(s.timeline, slots_per_s, replica.start, replica.end, IN_BATCH, replica.running * seconds)
    kv_use_s = 0.5 * (used + after) / role.kv_blocks * seconds
    spread(s.timeline, slots_per_s, replica.start, replica.end, KV_USE, kv_use_s)
    replica.peak_blocks = max(replica.peak_blocks, after)


@inner
def next_finished(s, r):
    """Return a request whose last token is out, or NONE; it no longer decodes. Of several, the one that came first.

    The order decides whose prefix counts as used last, and whose user asks first.
    """
    replica, world = s.replicas[r], s.world[0]
    heap = s.heaps[r]
    while replica.heap_size > 0 and finish_step(heap[0]) <= replica.step:
        key = heap[0]
        pop(heap, replica.heap_size)
        replica.heap_size -= 1
        q = finish_request(key)
        request = s.requests[q]
        if request.finish == finish_step(key) and request.replica == r:
            stop_decoding(s, r, q)
            push(s.leaving, world.leaving, finish_key(request.id, q))
            world.leaving += 1
    if world.leaving == 0:
        return NONE
    q = finish_request(s.leaving[0])
    pop(s.leaving, world.leaving)
    world.leaving -= 1
    request = s.requests[q]
    give_back(s, r, q, request.isl + request.osl - 1)
    unlink_running(replica, s.requests, q)
    return q


@inner
def prompt_done(s, r, q, now):
    """Account for a chunk of a prompt; return whether the whole prompt is in and a token came out."""
    replica, request = s.replicas[r], s.requests[q]
    role = s.roles[replica.role]
    if request.chunk == 0:  # it came with its cache
        return False
    request.filled += request.chunk
    request.chunk = 0
    if request.filled < request.target:
        replica.partial = q
        return False
    if request.done == 0:
        request.first = now
    else:
        record_gaps(s.histograms, now - request.last, 1.0)
    if request.hash_count:
        keep_prefix(s, r, q, role.entry_blocks * role.block_tokens)
    return True
