"""What is counted of finished requests: sums, histograms, events."""

from __future__ import annotations

import numpy as np

from steelyard.inference.simulator.kernel.compiled import inner
from steelyard.inference.simulator.kernel.layout import (
    BINS_PER_DOUBLING_BITS,
    E2E,
    ITL,
    LEAST_EXPONENT,
    NUM_BINS,
    TPOT,
    TTFT,
)  # fmt: skip

_SHIFT = 52 - BINS_PER_DOUBLING_BITS  # a float's leading bits are its place on a logarithmic scale
_FIRST = (1023 + LEAST_EXPONENT) << BINS_PER_DOUBLING_BITS


@inner
def bin_of(seconds):
    """Return the histogram bin of a time: read off the bits of the float, as HdrHistogram does."""
    place = (np.float64(seconds).view(np.int64) >> _SHIFT) - _FIRST
    return min(max(place, 0), NUM_BINS - 1)


@inner
def record_gaps(histograms, seconds, count):
    """Count gaps between two tokens of a request."""
    histograms[ITL, bin_of(seconds)] += count


@inner
def record_request(world, histograms, output, request, end, cached):
    """Count a finished request that is not part of the warm-up, and keep its event where asked for."""
    world.completed += 1
    if request.id < world.warm_up:
        return
    ttft = request.first - request.arrival
    e2e = end - request.arrival
    tpot = 0.0
    histograms[TTFT, bin_of(ttft)] += 1.0
    histograms[E2E, bin_of(e2e)] += 1.0
    if request.osl > 1:
        tpot = (end - request.first) / (request.osl - 1)
        histograms[TPOT, bin_of(tpot)] += 1.0
        world.sum_tpot += tpot
        world.num_tpot += 1.0
    if world.counted == 0:
        world.first_counted = request.arrival
    world.first_counted = min(world.first_counted, request.arrival)
    world.last_counted = max(world.last_counted, end)
    world.counted += 1
    world.sum_ttft += ttft
    world.sum_e2e += e2e
    world.isl_tokens += request.isl
    world.osl_tokens += request.osl
    if ttft <= world.ttft_limit and tpot <= world.tpot_limit and e2e <= world.e2e_limit:
        world.good += 1
    if world.keep_events:
        event = output[world.outputs]
        event.id = request.id
        event.arrival = request.arrival
        event.first = request.first
        event.end = end
        event.isl = request.isl
        event.osl = request.osl
        event.cached = cached
        event.preemptions = request.preemptions
        event.replica = request.replica
        world.outputs += 1
