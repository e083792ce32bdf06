"""Which replica gets a request."""

from __future__ import annotations

import numpy as np

from steelyard.inference.simulator.kernel import prefixes
from steelyard.inference.simulator.kernel.compiled import inner, rare
from steelyard.inference.simulator.kernel.layout import (
    LEAST_KV,
    NONE,
    POWER_OF_TWO,
    PREFIX_AFFINITY,
    READY,
    ROUND_ROBIN,
    STARTING,
)  # fmt: skip
from steelyard.inference.simulator.kernel.queues import set_key

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
