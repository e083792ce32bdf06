"""Prefix cache of a replica: blocks by hash, shared by running requests, the least recently used given up first.

A block of the trace is an entry; it takes `entry_blocks` blocks of the KV pool. Entries that no running request holds
stay until their memory is needed.
"""

from __future__ import annotations

import numpy as np

from steelyard.inference.simulator.kernel.compiled import inner, rare
from steelyard.inference.simulator.kernel.layout import NONE

_MIX = np.uint64(0x9E3779B97F4A7C15)  # 2^64 over the golden ratio (Knuth's multiplicative hash)


@inner
def home(value, mask):
    mixed = np.uint64(value) * _MIX
    return np.int64((mixed >> np.uint64(20)) & np.uint64(mask))


@inner
def find(slots, entry_hash, value):
    """Return the entry of a hash, or NONE."""
    mask = len(slots) - 1
    place = home(value, mask)
    while slots[place]:
        entry = slots[place] - 1
        if entry_hash[entry] == value:
            return entry
        place = (place + 1) & mask
    return NONE


@rare
def _insert(slots, entry_hash, entry):
    mask = len(slots) - 1
    place = home(entry_hash[entry], mask)
    while slots[place]:
        place = (place + 1) & mask
    slots[place] = entry + 1


@rare
def _delete(slots, entry_hash, entry):
    """Take an entry out of the table, moving back what stood behind it (linear probing without tombstones)."""
    mask = len(slots) - 1
    place = home(entry_hash[entry], mask)
    while slots[place] != entry + 1:
        place = (place + 1) & mask
    after = (place + 1) & mask
    while slots[after]:
        wanted = home(entry_hash[slots[after] - 1], mask)
        if ((after - wanted) & mask) >= ((after - place) & mask):
            slots[place] = slots[after]
            place = after
        after = (after + 1) & mask
    slots[place] = 0


@inner
def _append(replica, prev, following, entry):
    """Put an entry at the young end of the list of unused ones."""
    prev[entry] = replica.lru_tail
    following[entry] = NONE
    if replica.lru_tail == NONE:
        replica.lru_head = entry
    else:
        following[replica.lru_tail] = entry
    replica.lru_tail = entry
    replica.evictable += 1


@inner
def _unlink(replica, prev, following, entry):
    before, after = prev[entry], following[entry]
    if before == NONE:
        replica.lru_head = after
    else:
        following[before] = after
    if after == NONE:
        replica.lru_tail = before
    else:
        prev[after] = before
    replica.evictable -= 1


@rare
def matched(slots, entry_hash, hashes, start, count):
    """Return how many of the first blocks of a prompt are in the cache."""
    for i in range(count):
        if find(slots, entry_hash, hashes[start + i]) == NONE:
            return i
    return count


@rare
def hold(replica, slots, entry_hash, refs, prev, following, hashes, start, count):
    """Take the first `count` blocks of a prompt, all of them in the cache, into use."""
    for i in range(count):
        entry = find(slots, entry_hash, hashes[start + i])
        if refs[entry] == 0:
            _unlink(replica, prev, following, entry)
        refs[entry] += 1


@rare
def release(replica, slots, entry_hash, refs, prev, following, hashes, start, count):
    """Give the first `count` blocks of a prompt back, its end first: the end is the first to be given up."""
    for i in range(count - 1, -1, -1):
        entry = find(slots, entry_hash, hashes[start + i])
        refs[entry] -= 1
        if refs[entry] == 0:
            _append(replica, prev, following, entry)


@rare
def evict(replica, slots, entry_hash, prev, following):
    """Give up the entry that was unused longest."""
    entry = replica.lru_head
    _unlink(replica, prev, following, entry)
    _delete(slots, entry_hash, entry)
    following[entry] = replica.entry_free
    replica.entry_free = entry
    replica.entries -= 1


@rare
def add(replica, slots, entry_hash, refs, following, value):
    """Keep a block that was just computed and is in use."""
    entry = replica.entry_free
    replica.entry_free = following[entry]
    entry_hash[entry] = value
    refs[entry] = 1
    _insert(slots, entry_hash, entry)
    replica.entries += 1
