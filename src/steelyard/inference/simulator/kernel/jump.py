"""Many steps of the same batch at once."""

from __future__ import annotations

from steelyard.inference.simulator.kernel.admission import cached_blocks, prompt_room, unused_hits
from steelyard.inference.simulator.kernel.compiled import inner, rare
from steelyard.inference.simulator.kernel.costs import decode_cost, room_in_cell
from steelyard.inference.simulator.kernel.layout import BY_ANSWER, BY_CHUNK, JUMP
from steelyard.inference.simulator.kernel.pool import available, steps_within
from steelyard.inference.simulator.kernel.queues import finish_request, finish_step, pop


@inner
def set_jump(s, r, once):
    """Many steps of the same batch: until a sequence ends, the pool is full or the table's next cell begins.

    A request that waits for blocks may fit when the cache has given up a part of its prompt: then no further than that.
    """
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
        room = replica.free_blocks if _may_fit_later(s, r) else available(replica, role)
        if role.admission != BY_ANSWER and (steps // role.block_tokens + 1) * replica.alive > room:
            steps = max(1, steps_within(s.residues[r], replica.step, room, role.block_tokens, replica.alive, steps))
    replica.doing = JUMP
    replica.steps = steps
    replica.first_s = seconds
    replica.slope_s = more_s * rise
    replica.energy_per_step = joules + 0.5 * more_j * rise * (steps - 1)
    replica.end = replica.start + jump_seconds(replica, steps)


@inner
def _may_fit_later(s, r):
    """Return whether the head of the queue, for which blocks lack, may fit once the cache gives up an entry.

    A chunk that the budget cuts begins where the prompt's cached blocks end: with fewer of them it ends earlier.
    """
    replica = s.replicas[r]
    role = s.roles[replica.role]
    if replica.waiting == 0 or replica.running == role.max_sequences or replica.evictable == 0:
        return False
    if not role.chunked or role.admission != BY_CHUNK:
        return False
    return s.requests[replica.wait_head].hash_count > 0 and _is_cut_before_its_end(s, r, replica.wait_head)


@rare
def _is_cut_before_its_end(s, r, q):
    """Return whether the budget would cut a prompt of whose cached blocks no more than those in use are left."""
    replica = s.replicas[r]
    role = s.roles[replica.role]
    hit = cached_blocks(s, r, q)
    unused = unused_hits(s, r, q, hit)
    ready = (hit - unused) * role.entry_blocks * role.block_tokens
    return unused > 0 and ready + prompt_room(replica, role) < s.requests[q].target


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
