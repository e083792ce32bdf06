"""The fleet: requests that come, wait, go on to another device and leave."""

from __future__ import annotations

from steelyard.inference.simulator.kernel import batch
from steelyard.inference.simulator.kernel.compiled import inner
from steelyard.inference.simulator.kernel.jump import cut_jump
from steelyard.inference.simulator.kernel.layout import (
    ANSWERED,
    DRAINING,
    IDLE,
    IN_SYSTEM,
    JUMP,
    NONE,
    PLAN,
    READY,
    STEP,
    TOKENS,
    TPOT,
    TTFT,
)  # fmt: skip
from steelyard.inference.simulator.kernel.measures import record_request
from steelyard.inference.simulator.kernel.pool import give_back, start_decoding, unlink_running
from steelyard.inference.simulator.kernel.queues import push_pair, set_key
from steelyard.inference.simulator.kernel.routing import note_load, route
from steelyard.inference.simulator.kernel.timeline import note_latency, slot_of, spread


@inner
def note_event(s, r):
    """Tell the fleet when a replica needs attention next."""
    replica = s.replicas[r]
    set_key(s.event_keys, s.event_tree, r, min(replica.end, replica.fail_at, replica.ready_at))


@inner
def enqueue(s, q, now):
    """Hand a request to a replica."""
    r = route(s, q)
    replica, request = s.replicas[r], s.requests[q]
    request.replica = r
    request.next = NONE
    request.finish = NONE
    alone = replica.waiting == 0
    if replica.wait_tail == NONE:
        replica.wait_head = q
    else:
        s.requests[replica.wait_tail].next = q
    replica.wait_tail = q
    replica.waiting += 1
    role = s.roles[replica.role]
    if replica.doing == IDLE:
        if replica.status in (READY, DRAINING):
            wake(s, r, now)
    elif replica.doing == JUMP and alone and not role.static and replica.running < role.max_sequences:
        cut_jump(replica, now)
        note_event(s, r)
    note_load(s, r)


@inner
def wake(s, r, now):
    """Let an idle replica look at its queue, after everything else that happens at this moment."""
    replica = s.replicas[r]
    replica.doing = PLAN
    replica.end = now
    note_event(s, r)


@inner
def delay(s, value, when):
    """Keep a request, or a user's next one, until its time."""
    world = s.world[0]
    push_pair(s.delayed_keys, s.delayed_values, world.delayed, when, value)
    world.delayed += 1


@inner
def leave(s, q, now):
    """A request is done: count it, free its place, let its user ask again."""
    world, request = s.world[0], s.requests[q]
    record_request(world, s.histograms, s.output, request, now, request.cached)
    slot = slot_of(world, now)
    s.timeline[slot, ANSWERED] += 1.0
    note_latency(s.slot_latencies, slot, TTFT, request.first - request.arrival)
    if request.osl > 1:
        note_latency(s.slot_latencies, slot, TPOT, (now - request.first) / (request.osl - 1))
    count_system(s, now, -1)
    s.unused[world.pool_free] = q
    world.pool_free += 1
    ask_again(s, now)


@inner
def ask_again(s, now):
    """In a closed loop, let a user whose request has left the system send the next."""
    world = s.world[0]
    if world.closed and world.issued < world.total:
        world.issued += 1
        delay(s, NONE, now + world.think_s + world.overhead_s)


@inner
def count_system(s, now, change):
    """Keep the time integral of the requests in the system."""
    world = s.world[0]
    passed = world.in_system * (now - world.time)
    world.in_system_s += passed
    spread(s.timeline, world.slots_per_s, world.time, now, IN_SYSTEM, passed)
    world.time = now
    world.in_system += change
    world.peak_in_system = max(world.peak_in_system, world.in_system)


@inner
def finish_segment(s, r, now):
    """A step or jump is over: answers that end, prompts that are in; then look at the queue again."""
    replica = s.replicas[r]
    role = s.roles[replica.role]
    was_step = replica.doing == STEP
    batch.advance(s, r)
    q = batch.next_finished(s, r)
    while q != NONE:
        leave(s, q, now)
        q = batch.next_finished(s, r)
    if was_step:
        q = replica.fresh
        while q != NONE:
            following = s.requests[q].next
            if batch.prompt_done(s, r, q, now):
                _first_token(s, r, q, now, role)
            q = following
        replica.fresh = NONE
    wake(s, r, now)
    note_load(s, r)


@inner
def _first_token(s, r, q, now, role):
    """A prompt is in: the request ends, goes on to another device, or decodes here."""
    replica, request = s.replicas[r], s.requests[q]
    generated = request.done + 1
    s.timeline[slot_of(s.world[0], now), TOKENS] += 1.0
    if generated < request.osl and not role.prefill_only:
        start_decoding(s, r, q, generated)
        return
    give_back(s, r, q, request.target)
    unlink_running(replica, s.requests, q)
    if generated == request.osl:
        leave(s, q, now)
    else:
        request.sent = 1
        request.hash_count = 0
        request.cached = 0
        delay(s, q, now + role.transfer_s + role.transfer_s_per_token * request.isl)
