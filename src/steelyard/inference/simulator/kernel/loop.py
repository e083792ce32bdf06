"""The event loop: arrivals and replicas in the order of time."""

from __future__ import annotations

from steelyard.inference.simulator.kernel.compiled import inner, outer
from steelyard.inference.simulator.kernel.fleet import ask_again, count_system, enqueue, finish_segment
from steelyard.inference.simulator.kernel.layout import (
    DONE,
    NEED_ARRIVALS,
    NONE,
    OUTPUT_FULL,
    PLAN,
    POOL_FULL,
    STARTING,
)  # fmt: skip
from steelyard.inference.simulator.kernel.lifecycle import fail, get_ready, plan, scale
from steelyard.inference.simulator.kernel.queues import pop_pair
from steelyard.inference.simulator.kernel.timeline import widen

_NEVER = 1e300


@outer
def run(s, times, isl, osl, cached, hash_start, hash_count):  # noqa: C901, PLR0912 - one case an event
    """Go on until all requests are answered, or the caller has to do something; return what.

    Of things at one moment arrivals come first, then replicas: a request that arrives as a step ends is in the next.
    """
    world = s.world[0]
    while True:
        r = s.event_tree[1]
        event_s = s.event_keys[r]
        delayed_s = s.delayed_keys[0] if world.delayed else _NEVER
        arrival_s = _NEVER
        if not world.closed and world.issued < world.total:
            if world.cursor == len(times):
                return NEED_ARRIVALS
            arrival_s = times[world.cursor] + world.overhead_s
        first_s = min(event_s, delayed_s, arrival_s)
        if world.completed + world.rejected == world.total or first_s == _NEVER:
            return DONE
        if first_s >= world.slots_end:
            widen(s, first_s)
        if world.scaling and world.next_tick < first_s:
            scale(s, world.next_tick)
        elif event_s == first_s and event_s < min(arrival_s, delayed_s):
            if world.keep_events and len(s.output) - world.outputs < s.replicas[r].running:
                return OUTPUT_FULL
            _attend(s, r, event_s)
        elif world.pool_free == 0:
            return POOL_FULL
        elif arrival_s == first_s:
            world.issued += 1
            _arrive(s, arrival_s, times[world.cursor], isl, osl, cached, hash_start, hash_count)
        elif s.delayed_values[0] != NONE:
            q = s.delayed_values[0]
            _drop_delayed(s)
            enqueue(s, q, delayed_s)
        elif world.cursor == len(times):
            return NEED_ARRIVALS
        else:
            _drop_delayed(s)
            _arrive(s, delayed_s, delayed_s - world.overhead_s, isl, osl, cached, hash_start, hash_count)


@inner
def _drop_delayed(s):
    world = s.world[0]
    pop_pair(s.delayed_keys, s.delayed_values, world.delayed)
    world.delayed -= 1


@inner
def _arrive(s, now, asked_s, isl, osl, cached, hash_start, hash_count):
    """The next request of the block enters the system; what no replica could ever hold is turned away."""
    world = s.world[0]
    i = world.cursor
    world.cursor += 1
    world.events += 1
    number = world.events - 1
    role = s.roles[world.first_role]
    tokens = isl[i] + osl[i]
    if tokens > role.max_context:
        world.rejected += 1
        ask_again(s, now)
        return
    world.pool_free -= 1
    q = s.unused[world.pool_free]
    request = s.requests[q]
    request.id = number
    request.arrival = asked_s
    request.isl = isl[i]
    request.osl = osl[i]
    request.cached = cached[i]
    request.hash_start = hash_start[i]
    request.hash_count = hash_count[i]
    request.done = request.sent = request.entries = request.preemptions = request.filled = 0
    request.first = request.last = -1.0
    count_system(s, now, 1)
    enqueue(s, q, now)


@inner
def _attend(s, r, now):
    """What a replica was waiting for has come."""
    replica = s.replicas[r]
    if replica.fail_at <= now:
        fail(s, r, now)
    elif replica.status == STARTING and replica.ready_at <= now:
        get_ready(s, r, now)
    elif replica.doing == PLAN:
        plan(s, r, now)
    else:
        finish_segment(s, r, now)
