"""One replica: which step comes next, and what it did once it is over."""

from __future__ import annotations

from steelyard.inference.simulator.kernel.admission import admit, prompt_room
from steelyard.inference.simulator.kernel.compiled import inner
from steelyard.inference.simulator.kernel.costs import step_cost
from steelyard.inference.simulator.kernel.jump import set_jump
from steelyard.inference.simulator.kernel.layout import BY_ANSWER, IDLE, IN_BATCH, JUMP, KV_USE, NONE, STEP, TOKENS
from steelyard.inference.simulator.kernel.measures import record_gaps
from steelyard.inference.simulator.kernel.pool import (
    available,
    blocks_of,
    full_place,
    give_back,
    growth,
    keep_prefix,
    preempt_last,
    stop_decoding,
    take,
    unlink_running,
)  # fmt: skip
from steelyard.inference.simulator.kernel.queues import finish_key, finish_request, finish_step, pop, push
from steelyard.inference.simulator.kernel.timeline import spread


@inner
def plan(s, r, now):
    """Choose what a replica does from now on, as its engine's scheduler would."""
    replica = s.replicas[r]
    role = s.roles[replica.role]
    preemptions = s.world[0].preemptions
    # Every decoding sequence needs room for one more token.
    while s.residues[r, full_place(replica.step, role.block_tokens)] > available(replica, role):
        preempt_last(s, r, now)
    room = prompt_room(replica, role)
    replica.fresh = NONE
    tokens, attended = _resume_prompt(s, r, now, room)
    grow = s.residues[r, full_place(replica.step, role.block_tokens)]
    if s.world[0].preemptions == preemptions:
        more, also = admit(s, r, room - tokens, grow, tokens)
        tokens += more
        attended += also
    replica.start = now
    if tokens > 0:
        _set_step(s, r, tokens, attended)
    elif replica.decoding > 0:
        set_jump(s, r, s.world[0].preemptions > preemptions)
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
    extra = 0
    if role.admission != BY_ANSWER:
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
def advance(s, r):
    """Account for what a replica did until now, up to finishing requests and first tokens."""
    replica = s.replicas[r]
    role = s.roles[replica.role]
    steps = replica.steps if replica.doing == JUMP or role.mixed else 0
    seconds, slots_per_s = replica.end - replica.start, s.world[0].slots_per_s
    used = role.kv_blocks - available(replica, role)
    if steps and replica.alive:
        if replica.doing == JUMP and role.admission != BY_ANSWER:
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
