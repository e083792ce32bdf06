"""Prefix caches alone, without time: which share of a trace's blocks a number of caches holds."""

from __future__ import annotations

from steelyard.inference.simulator.kernel.compiled import outer
from steelyard.inference.simulator.kernel.layout import NONE
from steelyard.inference.simulator.kernel.routing import directory_place


@outer
def replay(hashes, start, count, weight, caches, affinity, balance, known, directory_hash, directory_replica, load):
    """Return blocks found over blocks asked for, with unbounded caches.

    `known` [caches, blocks] and `directory_hash` start empty; `hashes` are places in `known`. Load is prompt tokens.
    """
    hits = total = 0
    taken = 0.0
    for i in range(len(start)):
        chosen = i % caches
        if affinity:
            owner = NONE
            for j in range(count[i]):
                place = directory_place(directory_hash, hashes[start[i] + j])
                if directory_hash[place] == NONE:
                    break
                owner = directory_replica[place]
            least = 0
            for r in range(caches):
                if load[r] < load[least]:
                    least = r
            chosen = owner if owner != NONE and load[owner] <= balance * (taken / caches) + weight[i] else least
        load[chosen] += weight[i]
        taken += weight[i]
        found = True
        for j in range(count[i]):
            value = hashes[start[i] + j]
            found = found and known[chosen, value]
            hits += found
            known[chosen, value] = True
            if affinity:
                place = directory_place(directory_hash, value)
                directory_hash[place] = value
                directory_replica[place] = chosen
        total += count[i]
    return hits / total if total else 0.0
