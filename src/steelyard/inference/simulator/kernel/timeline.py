"""What happened when: sums over slots of equal length, whose number is bounded however long a run takes.

A slot's length is a power of two seconds; when a run outlasts the slots, they are joined two by two.
"""

from __future__ import annotations

from steelyard.inference.simulator.kernel.compiled import inner, rare
from steelyard.inference.simulator.kernel.layout import FINE_TO_SLOT_BITS, SLOT_BINS
from steelyard.inference.simulator.kernel.measures import bin_of


@rare
def spread(timeline, slots_per_s, start, end, column, amount):
    """Add an amount that came evenly between two moments to the slots that they lie in."""
    first, last = int(start * slots_per_s), int(end * slots_per_s)
    if first == last:
        timeline[first, column] += amount
        return
    per_s, width = amount / (end - start), 1.0 / slots_per_s
    timeline[first, column] += per_s * ((first + 1) * width - start)
    for slot in range(first + 1, last):
        timeline[slot, column] += per_s * width
    timeline[last, column] += per_s * (end - last * width)


@inner
def note_latency(latencies, slot, metric, seconds):
    """Count a latency of a request that is answered in a slot, by bins of 1/8 of a doubling."""
    latencies[slot, metric * SLOT_BINS + (bin_of(seconds) >> FINE_TO_SLOT_BITS)] += 1


@inner
def slot_of(world, now):
    return int(now * world.slots_per_s)


@rare
def widen(s, now):
    """Join slots two by two until they reach beyond a moment."""
    world, slots = s.world[0], len(s.timeline)
    while now * world.slots_per_s >= slots:
        _join(s.timeline)
        _join(s.slot_latencies)
        world.slots_per_s *= 0.5
    world.slots_end = slots / world.slots_per_s


@rare
def _join(held):
    slots = len(held)
    for slot in range(slots):
        for column in range(held.shape[1]):
            if slot < slots // 2:
                held[slot, column] = held[2 * slot, column] + held[2 * slot + 1, column]
            else:
                held[slot, column] = 0
