"""Replicas that start, serve, drain, stop and fail, and the autoscaler that tells them to."""

from __future__ import annotations

import math

from steelyard.inference.simulator.kernel import batch
from steelyard.inference.simulator.kernel.compiled import inner, outer, rare
from steelyard.inference.simulator.kernel.fleet import enqueue, note_event, wake
from steelyard.inference.simulator.kernel.layout import DRAINING, IDLE, NONE, OFF, PAID, READY, STARTING
from steelyard.inference.simulator.kernel.routing import chance, note_load
from steelyard.inference.simulator.kernel.timeline import spread

_NEVER = 1e300


@rare
def start(s, r, now, after_s):
    """Start a replica: it is paid from now on and serves when it is ready."""
    replica = s.replicas[r]
    replica.status = STARTING
    replica.ready_at = now + after_s
    replica.up_since = now
    note_event(s, r)


@inner
def get_ready(s, r, now):
    replica, world = s.replicas[r], s.world[0]
    replica.status = READY
    replica.ready_at = _NEVER
    replica.idle_since = now
    if world.mtbf_s > 0:
        replica.fail_at = now - world.mtbf_s * math.log1p(-chance(world.seed, r, 1000 + replica.failures))
    wake(s, r, now)
    note_load(s, r)


@rare
def stop(s, r, now):
    replica = s.replicas[r]
    replica.status = OFF
    replica.up_s += now - replica.up_since
    spread(s.timeline, s.world[0].slots_per_s, replica.up_since, now, PAID, now - replica.up_since)
    replica.end = _NEVER
    replica.fail_at = _NEVER
    note_load(s, r)


@inner
def plan(s, r, now):
    """Let a replica choose its next step; one that drains and has nothing left stops."""
    replica = s.replicas[r]
    batch.plan(s, r, now)
    if replica.doing == IDLE and replica.status == DRAINING:
        stop(s, r, now)
    note_event(s, r)


@rare
def fail(s, r, now):
    """A replica is lost with its cache: its requests start again elsewhere, and it starts anew."""
    replica, world = s.replicas[r], s.world[0]
    role = s.roles[replica.role]
    replica.failures += 1
    replica.fail_at = _NEVER
    replica.status = STARTING
    replica.ready_at = now + world.repair_s
    replica.doing = IDLE
    replica.end = _NEVER
    first_running, first_waiting = replica.run_head, replica.wait_head
    _forget(s, r, role)
    note_event(s, r)
    note_load(s, r)
    for head in (first_running, first_waiting):
        q = head
        while q != NONE:
            request = s.requests[q]
            following = request.next
            request.done = 0
            request.sent = 0
            request.filled = 0
            request.entries = 0
            request.preemptions += 1
            world.failed_over += 1
            enqueue(s, q, now)
            q = following


@rare
def _forget(s, r, role):
    """Empty a replica: queue, batch, pool and prefix cache."""
    replica = s.replicas[r]
    for field in range(s.residues.shape[1]):
        s.residues[r, field] = 0
    replica.decoding = replica.alive = replica.running = replica.waiting = replica.heap_size = 0
    replica.context = 0.0
    replica.run_head = replica.run_tail = replica.partial = replica.fresh = NONE
    replica.wait_head = replica.wait_tail = NONE
    replica.free_blocks = role.kv_blocks
    s.slots[r, :] = 0
    empty_cache(replica, s.entry_next[r])


@rare
def empty_cache(replica, following):
    """Chain all places of a prefix cache as free ones."""
    for entry in range(len(following)):
        following[entry] = entry + 1
    following[len(following) - 1] = NONE
    replica.entry_free = 0
    replica.entries = replica.evictable = 0
    replica.lru_head = replica.lru_tail = NONE


@rare
def scale(s, now):
    """Start or drain replicas of the first pool so that each has its target of requests."""
    world = s.world[0]
    world.next_tick = now + world.tick_s
    up = 0
    for r in range(world.pool0):
        up += s.replicas[r].status in (STARTING, READY)
    wanted = math.ceil(world.in_system / world.target)
    wanted = min(max(wanted, world.least), world.most)
    world.ticks = world.ticks + 1 if wanted < up else 0  # looks in a row that found too many
    if wanted > up:
        for r in range(world.pool0):
            if up < wanted and s.replicas[r].status == DRAINING:
                s.replicas[r].status = READY
                note_load(s, r)
                up += 1
        for r in range(world.pool0):
            if up < wanted and s.replicas[r].status == OFF:
                start(s, r, now, world.cold_start_s)
                up += 1
    elif world.ticks > world.down_ticks:
        _drain(s, now, up - wanted)
        world.ticks = 0


@rare
def _drain(s, now, surplus):
    """Send no more requests to the last replicas; an idle one stops at once."""
    for r in range(s.world[0].pool0 - 1, -1, -1):
        replica = s.replicas[r]
        if surplus > 0 and replica.status == READY:
            replica.status = DRAINING
            surplus -= 1
            note_load(s, r)
            if replica.doing == IDLE:
                stop(s, r, now)
                note_event(s, r)


@outer
def begin(s, serving):
    """Switch on the first replicas of the first pool and all of the second; nothing has arrived yet."""
    world = s.world[0]
    for r in range(len(s.replicas)):
        empty_cache(s.replicas[r], s.entry_next[r])
        if r < serving or r >= world.pool0:
            get_ready(s, r, 0.0)
