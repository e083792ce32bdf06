"""Many like streams of requests as one load: the more of them, the smoother what they send together."""

from __future__ import annotations

import numpy as np

from steelyard.inference.simulator.load import Load, Times, open_load, unit_gaps
from steelyard.records.workload import Lengths

_GAPS = 64  # of each stream drawn at once


def streams_load(
    lengths: Lengths,
    request_rate_per_s: float,
    num_requests: int,
    *,
    arrival_cv_ratio: float,
    stream_request_rate_per_s: float,
    seed: int = 0,
) -> Load:
    """Return the requests of independent streams, each about as fast and as bursty as one that was measured.

    The coefficient of variation of the gaps between requests is that of a stream at its rate: its bursts and its quiet
    spells last some cv^2 gaps. A load of n times the rate is n such streams, whose bursts last as long and seldom meet;
    one stream n times as fast would have bursts n times as short. Below the rate of one stream, a single one is slowed
    down. The streams are in their steady state from the start, and their mean rate is exactly the one asked for.

    Args:
        lengths: Drawn with replacement.
        request_rate_per_s: Mean rate of all streams together.
        num_requests: About how many: what comes in the time that so many take on average.
        arrival_cv_ratio: Coefficient of variation of the gaps in one stream.
        stream_request_rate_per_s: Rate of one stream.
        seed: Of the times.

    Raises:
        InputError: As `open_load`.

    Source:
        Whitt, "Approximating a Point Process by a Renewal Process", Operations Research 30(1), 1982 (superposition).

    Example:
        >>> asked = Lengths(isl_tokens=np.array([100.0]), osl_tokens=np.array([10.0]))
        >>> load = streams_load(asked, 50.0, 5000, arrival_cv_ratio=3.0, stream_request_rate_per_s=5.0)
        >>> round(load.num_requests / float(load.trace_times[-1]), 6)
        50.0
    """
    asked = open_load(lengths, request_rate_per_s, num_requests, arrival_cv_ratio=arrival_cv_ratio)
    streams = max(1, round(request_rate_per_s / stream_request_rate_per_s))
    times = _superposed(np.random.default_rng(seed), streams, arrival_cv_ratio, num_requests / streams)
    times = np.append(times, times[-1:] if len(times) else 1.0)[: max(1, len(times))]
    return Load(
        num_requests=len(times),
        lengths=lengths,
        label=f"{asked.label}, in {streams} streams",
        request_rate_per_s=request_rate_per_s,
        trace_times=times * (len(times) / times[-1] / request_rate_per_s),
    )


def _superposed(rng: np.random.Generator, streams: int, cv_ratio: float, end: float) -> Times:
    """Return the arrivals of stationary renewal streams up to a time, in mean gaps of one stream, in order."""
    square = cv_ratio**2
    # Looked at from any time, the gap that one is in is a long one: its length-biased law, cut at a uniform place.
    around = rng.standard_gamma(1.0 / square + 1.0, streams) * square if square else np.ones(streams)
    last = rng.random(streams) * around
    found = [last]
    while (last < end).any():
        times = last[:, None] + np.cumsum(unit_gaps(rng, streams * _GAPS, cv_ratio).reshape(streams, _GAPS), axis=1)
        found.append(times.ravel())
        last = times[:, -1]
    joined = np.sort(np.concatenate(found))
    return joined[joined <= end]
