"""The fleet: arrivals and where they go, requests that end, replicas that fail, start and stop."""

from __future__ import annotations

import math

import numpy as np

from steelyard.inference.simulator.kernel import batch, prefixes
from steelyard.inference.simulator.kernel.compiled import inner, outer, rare
from steelyard.inference.simulator.kernel.layout import (
    DRAINING,
    IDLE,
    JUMP,
    LEAST_KV,
    NONE,
    OFF,
    PLAN,
    POWER_OF_TWO,
    PREFIX_AFFINITY,
    READY,
    ROUND_ROBIN,
    STARTING,
    STEP,
)  # fmt: skip
from steelyard.inference.simulator.kernel.measures import record_request
from steelyard.inference.simulator.kernel.pool import give_back, start_decoding, unlink_running
from steelyard.inference.simulator.kernel.queues import push_pair, set_key

_NEVER = 1e300


@inner
def chance(seed, a, b):
    """Return a number in [0, 1) that depends on nothing but its arguments (SplitMix64's mixing)."""
    x = np.uint64(seed) + np.uint64(a) * np.uint64(0x9E3779B97F4A7C15) + np.uint64(b) * np.uint64(0xD1B54A32D192ED03)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    x = x ^ (x >> np.uint64(31))
    return float(x >> np.uint64(11)) * 2.0**-53


@inner
def note_event(s, r):
    """Tell the fleet when a replica needs attention next."""
    replica = s.replicas[r]
    set_key(s.event_keys, s.event_tree, r, min(replica.end, replica.fail_at, replica.ready_at))


@inner
def note_load(s, r):
    """Tell the router how loaded a replica is."""
    replica, world = s.replicas[r], s.world[0]
    if world.routing in (ROUND_ROBIN, POWER_OF_TWO):
        return
    second = int(replica.role > 0)
    if replica.status != READY:
        load = _NEVER
    elif world.routing == LEAST_KV:
        role = s.roles[replica.role]
        load = (role.kv_blocks - replica.free_blocks - replica.evictable * role.entry_blocks) / role.kv_blocks
        load += replica.waiting  # what waits has no blocks yet
    else:
        load = float(replica.running + replica.waiting)
    set_key(s.load_keys[second], s.load_trees[second], r - (world.pool0 if second else 0), load)


@inner
def _in_turn(s, second):
    """Return the next replica of a pool that serves; if none does, one that will."""
    world = s.world[0]
    start, size = (world.pool0, world.pool1) if second else (0, world.pool0)
    turn = world.turn1 if second else world.turn0
    chosen = NONE
    for i in range(size):
        r = start + (turn + i) % size
        status = s.replicas[r].status
        if status == READY:
            chosen = r
            break
        if status == STARTING and chosen == NONE:
            chosen = r
    if chosen == NONE:
        chosen = start
    if second:
        world.turn1 = chosen - start + 1
    else:
        world.turn0 = chosen - start + 1
    return chosen


@inner
def route(s, q):
    """Return the replica for a request."""
    world, request = s.world[0], s.requests[q]
    second = int(request.sent > 0)
    start, size = (world.pool0, world.pool1) if second else (0, world.pool0)
    if size == 1:
        return start
    routing = world.routing
    chosen = NONE
    if routing == POWER_OF_TWO:
        one = start + int(size * chance(world.seed, request.id, 1))
        two = start + int(size * chance(world.seed, request.id, 2))
        first, other = s.replicas[one], s.replicas[two]
        chosen = one
        if other.status == READY and (
            first.status != READY or other.running + other.waiting < first.running + first.waiting
        ):
            chosen = two
    elif routing != ROUND_ROBIN:
        chosen = start + s.load_trees[second, 1]
        if routing == PREFIX_AFFINITY and not second and request.hash_count:
            chosen = _with_prefix(s, q, chosen)
    if chosen == NONE or s.replicas[chosen].status != READY:
        return _in_turn(s, second)
    return chosen


@rare
def _with_prefix(s, q, least):
    """Return the replica that last took the longest known part of a prompt, unless it is too busy."""
    world, request = s.world[0], s.requests[q]
    owner = NONE
    for i in range(request.hash_count):
        place = directory_place(s.directory_hash, s.hashes[request.hash_start + i])
        if s.directory_hash[place] == NONE:
            break
        owner = s.directory_replica[place]
    chosen = least
    if owner != NONE and s.replicas[owner].status == READY:
        replica = s.replicas[owner]
        mean = world.in_system / world.pool0
        if replica.running + replica.waiting <= world.balance * mean + 1.0:
            chosen = owner
    for i in range(request.hash_count):
        value = s.hashes[request.hash_start + i]
        place = directory_place(s.directory_hash, value)
        s.directory_hash[place] = value
        s.directory_replica[place] = chosen
    return chosen


@inner
def directory_place(directory_hash, value):
    """Return where a block stands in the router's directory, or where it would."""
    mask = len(directory_hash) - 1
    place = prefixes.home(value, mask)
    while directory_hash[place] != NONE and directory_hash[place] != value:
        place = (place + 1) & mask
    return place


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
        batch.cut_jump(replica, now)
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
    count_system(world, now, -1)
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
def count_system(world, now, change):
    """Keep the time integral of the requests in the system."""
    world.in_system_s += world.in_system * (now - world.time)
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


@inner
def plan(s, r, now):
    """Let a replica choose its next step; one that drains and has nothing left stops."""
    replica = s.replicas[r]
    batch.plan(s, r, now)
    if replica.doing == IDLE and replica.status == DRAINING:
        stop(s, r, now)
    note_event(s, r)


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
    replica.end = _NEVER
    replica.fail_at = _NEVER
    note_load(s, r)


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
