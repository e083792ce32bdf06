"""When requests are due and how long they are: decided before the first is sent."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from steelyard.errors import InputError
from steelyard.records.requests import Counts, Times
from steelyard.records.workload import Lengths

MAX_REQUESTS = 2_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadPlan:
    """Requests to send; arrays [N]. In a closed loop `arrival_s` is empty: users send when they are answered."""

    label: str
    isl_tokens: Counts
    osl_tokens: Counts
    arrival_s: Times
    duration_s: float  # no request is sent after it
    concurrency: int = 0

    def __len__(self) -> int:
        return len(self.isl_tokens)


def open_plan(
    lengths: Lengths,
    request_rate_per_s: float,
    *,
    num_requests: int,
    duration_s: float = math.inf,
    arrival_cv_ratio: float = 1.0,
    seed: int = 0,
) -> LoadPlan:
    """Return requests that come whether or not earlier ones are answered.

    Args:
        lengths: Drawn with replacement.
        request_rate_per_s: Mean rate.
        num_requests: Most requests.
        duration_s: None is due after it.
        arrival_cv_ratio: Of the gaps, which are gamma-distributed: 1 is Poisson, 0 is a clock.
        seed: The same seed gives the same requests.

    Raises:
        InputError: A rate, count or coefficient that makes no sense.

    Example:
        >>> asked = Lengths(isl_tokens=np.array([100.0]), osl_tokens=np.array([10.0]))
        >>> bool(150 < open_plan(asked, 5.0, num_requests=1000).arrival_s[-1] < 250)
        True
    """
    if not 0 < request_rate_per_s < math.inf:
        raise InputError(f"rate: {request_rate_per_s:g} is not a positive number of requests per second")
    if not 0 <= arrival_cv_ratio <= 100:
        raise InputError(f"cv: {arrival_cv_ratio:g} is not between 0 and 100")
    rng = np.random.default_rng(seed)
    _counted(num_requests)
    if arrival_cv_ratio == 0:
        gaps = np.ones(num_requests)
    else:
        square = arrival_cv_ratio**2
        gaps = rng.standard_gamma(1.0 / square, num_requests) * square
    arrival = (np.cumsum(gaps) - gaps[0]) / request_rate_per_s  # the first is due at once
    arrival = arrival[arrival < duration_s]
    isl, osl = _drawn(lengths, len(arrival), rng)
    label = f"{request_rate_per_s:g} requests/s, open loop, gaps of CV {arrival_cv_ratio:g}"
    return LoadPlan(label=label, isl_tokens=isl, osl_tokens=osl, arrival_s=arrival, duration_s=duration_s)


def closed_plan(
    lengths: Lengths, concurrency: int, *, num_requests: int, duration_s: float = math.inf, seed: int = 0
) -> LoadPlan:
    """Return the requests of users who each send the next one when the last is answered.

    Raises:
        InputError: Fewer than one user or request.
    """
    if not 1 <= concurrency <= 100_000:
        raise InputError(f"concurrency: {concurrency} is not between 1 and 100,000")
    _counted(num_requests)
    isl, osl = _drawn(lengths, num_requests, np.random.default_rng(seed))
    return LoadPlan(
        label=f"{concurrency:,} users, closed loop",
        isl_tokens=isl,
        osl_tokens=osl,
        arrival_s=np.empty(0),
        duration_s=duration_s,
        concurrency=min(concurrency, num_requests),
    )


def trace_plan(
    lengths: Lengths,
    times_s: Times,
    *,
    num_requests: int = MAX_REQUESTS,
    duration_s: float = math.inf,
    speed_ratio: float = 1.0,
) -> LoadPlan:
    """Return the requests of a trace at the times at which they came.

    Args:
        lengths: Of the requests, in their order [N].
        times_s: When each came [N], rising from 0, as `inference.simulator.trace_load` reads both off a file.
        num_requests: Most requests, from the start.
        duration_s: None is due after it.
        speed_ratio: 2 replays it twice as fast.

    Raises:
        InputError: A speed or a number of requests that makes no sense.

    Example:
        >>> asked = Lengths(isl_tokens=np.array([100.0, 50.0]), osl_tokens=np.array([10.0, 5.0]), label="two")
        >>> trace_plan(asked, np.array([0.0, 3.0]), speed_ratio=2.0).arrival_s.tolist()
        [0.0, 1.5]
    """
    if not 0 < speed_ratio < math.inf:
        raise InputError(f"speed: {speed_ratio:g} is not a positive number")
    _counted(num_requests)
    arrival = times_s[:num_requests] / speed_ratio
    arrival = arrival[arrival < duration_s]
    return LoadPlan(
        label=f"at {speed_ratio:g} times its speed",
        isl_tokens=_whole(lengths.isl_tokens[: len(arrival)]),
        osl_tokens=_whole(lengths.osl_tokens[: len(arrival)]),
        arrival_s=arrival,
        duration_s=duration_s,
    )


def _drawn(lengths: Lengths, count: int, rng: np.random.Generator) -> tuple[Counts, Counts]:
    places = rng.integers(0, len(lengths.isl_tokens), count)
    return _whole(lengths.isl_tokens[places]), _whole(lengths.osl_tokens[places])


def _whole(tokens: Times) -> Counts:
    return np.maximum(np.rint(tokens), 1).astype(np.int64)


def _counted(num_requests: int) -> None:
    if not 1 <= num_requests <= MAX_REQUESTS:
        raise InputError(f"requests: {num_requests} is not between 1 and {MAX_REQUESTS:,}")
