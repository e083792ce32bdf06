"""Load on a fleet: when requests come and how long they are, in blocks, so that memory does not grow with them."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from steelyard.errors import InputError
from steelyard.records.workload import Lengths
from steelyard.units import format_quantity

Times = npt.NDArray[np.float64]
Counts = npt.NDArray[np.int64]
Gaps = Literal["gamma", "weibull"]

BLOCK_REQUESTS = 32_768
MAX_REQUESTS = 10_000_000_000  # hours of one core; the event loop numbers them in 39 bits
MAX_IN_SYSTEM = 1 << 24  # at once: the event loop keeps them in keys of 24 bits
_SECONDS_PER_HOUR = 3600.0


class Block(NamedTuple):
    """Some requests in the order of arrival; arrays [B]."""

    times: Times
    isl: Counts
    osl: Counts
    cached: Counts  # prompt tokens that need no computing, whatever the replica
    hash_start: Counts  # where a prompt's blocks begin in `Load.hashes`
    hash_count: Counts


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """A stream of requests. Make one with `open_load`, `closed_load`, `burst_load` or `trace_load`."""

    num_requests: int
    lengths: Lengths
    label: str
    request_rate_per_s: float = 0.0  # of an open load
    arrival_cv_ratio: float = 1.0
    gaps: Gaps = "gamma"
    hourly_shape_ratio: tuple[float, ...] = ()
    concurrency: int = 0  # of a closed loop
    think_s: float = 0.0
    in_order: bool = False  # lengths are used one after the other, not drawn
    trace_times: Times = field(default_factory=lambda: np.empty(0))  # [T] from 0
    trace_hash_start: Counts = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    trace_hash_count: Counts = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    hashes: Counts = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    hash_block_tokens: int = 0

    def __post_init__(self) -> None:
        if not 1 <= self.num_requests <= MAX_REQUESTS:
            raise InputError(f"requests: {self.num_requests:,} is not a number from 1 to {MAX_REQUESTS:,}")
        if self.concurrency > MAX_IN_SYSTEM:
            raise InputError(f"concurrency: {self.concurrency:,} is not a number from 1 to {MAX_IN_SYSTEM:,}")

    @property
    def closed(self) -> bool:
        return self.concurrency > 0

    def stretched_to(self, request_rate_per_s: float) -> Load:
        """Return a trace whose times are stretched to this mean rate.

        Raises:
            InputError: All of its requests come at one moment.

        Example:
            >>> one = Lengths(isl_tokens=np.ones(1), osl_tokens=np.ones(1))
            >>> times = np.array([0.0, 1.0, 4.0])
            >>> load = Load(num_requests=3, lengths=one, label="three", request_rate_per_s=0.5, trace_times=times)
            >>> load.stretched_to(1.0).trace_times.tolist()
            [0.0, 0.5, 2.0]
        """
        if not self.request_rate_per_s > 0:
            raise InputError(f"{self.label}: all requests come at one moment, so there is no rate to stretch")
        times = self.trace_times * (self.request_rate_per_s / request_rate_per_s)
        return replace(self, trace_times=times, request_rate_per_s=request_rate_per_s)

    def blocks(self, seed: int) -> Iterator[Block]:
        """Yield the requests; the same ones for the same seed."""
        rng = np.random.default_rng(seed)
        isl = np.maximum(np.rint(self.lengths.isl_tokens), 1).astype(np.int64)
        osl = np.maximum(np.rint(self.lengths.osl_tokens), 1).astype(np.int64)
        cached = np.floor(isl * self.lengths.cached_input_ratio).astype(np.int64)
        last_s = 0.0
        for first in range(0, self.num_requests, BLOCK_REQUESTS):
            count = min(BLOCK_REQUESTS, self.num_requests - first)
            places = np.arange(first, first + count) % len(isl) if self.in_order else rng.integers(0, len(isl), count)
            times, last_s = self._times(rng, first, count, last_s)
            if len(self.trace_hash_count):
                start, listed = self.trace_hash_start[places], self.trace_hash_count[places]
            else:
                start = listed = np.zeros(count, dtype=np.int64)
            yield Block(times, isl[places], osl[places], cached[places], start, listed)

    def _times(self, rng: np.random.Generator, first: int, count: int, last_s: float) -> tuple[Times, float]:
        if self.closed:
            return np.zeros(count), 0.0
        if len(self.trace_times):
            return self.trace_times[first : first + count], 0.0
        if not self.request_rate_per_s:
            return np.zeros(count), 0.0
        gaps = unit_gaps(rng, count, self.arrival_cv_ratio, self.gaps)
        unit = last_s + np.cumsum(gaps)
        return _through_day(unit / self.request_rate_per_s, self.hourly_shape_ratio), float(unit[-1])


def open_load(
    lengths: Lengths,
    request_rate_per_s: float,
    num_requests: int,
    *,
    arrival_cv_ratio: float = 1.0,
    gaps: Gaps = "gamma",
    hourly_shape_ratio: tuple[float, ...] = (),
    in_order: bool = False,
) -> Load:
    """Return requests that come whether or not earlier ones are answered.

    Args:
        lengths: Drawn with replacement, or one after the other when `in_order`.
        request_rate_per_s: Mean rate.
        num_requests: How many.
        arrival_cv_ratio: Coefficient of variation of the gaps: 1 with `gamma` is Poisson, 0 is a clock.
        gaps: Distribution of the gaps.
        hourly_shape_ratio: Rate of each hour of a day over its mean [24]; empty for a steady rate.
        in_order: Use the lengths in their order.

    Raises:
        InputError: A rate that is not positive, a negative coefficient of variation, a shape that is not 24 rates.

    Example:
        >>> asked = Lengths(isl_tokens=np.array([100.0]), osl_tokens=np.array([10.0]))
        >>> block = next(open_load(asked, 5.0, 1000).blocks(seed=1))
        >>> bool(150 < block.times[-1] < 250)
        True
    """
    if not 0 < request_rate_per_s < math.inf:
        raise InputError(f"request rate: {request_rate_per_s:g} is not a positive number")
    if not 0 <= arrival_cv_ratio <= 100:
        raise InputError(f"arrival CV: {arrival_cv_ratio:g} is not between 0 and 100")
    shape = np.asarray(hourly_shape_ratio, dtype=np.float64)
    if shape.size and (shape.shape != (24,) or not (np.isfinite(shape).all() and (shape > 0).all())):
        raise InputError("daily shape: must be 24 positive rates")
    by_hour = tuple(shape / shape.mean()) if shape.size else ()
    lasts_s = float(_through_day(np.array([num_requests / request_rate_per_s]), by_hour)[0])
    return Load(
        num_requests=num_requests,
        lengths=lengths,
        label=f"{request_rate_per_s:g} requests/s, {gaps} gaps of CV {arrival_cv_ratio:g}"
        + (f", daily shape over {format_quantity(lasts_s, 's')} from midnight" if shape.size else ""),
        request_rate_per_s=request_rate_per_s,
        arrival_cv_ratio=arrival_cv_ratio,
        gaps=gaps,
        hourly_shape_ratio=by_hour,
        in_order=in_order,
    )


def closed_load(
    lengths: Lengths, concurrency: int, num_requests: int, *, think_s: float = 0.0, in_order: bool = False
) -> Load:
    """Return the requests of users who each send the next one when the last is answered, all starting together.

    Args:
        lengths: As for `open_load`.
        concurrency: Users.
        num_requests: Of all users together.
        think_s: Time of a user between an answer and the next request.
        in_order: Use the lengths in their order.

    Raises:
        InputError: Fewer than one user, or a negative time to think.
    """
    if concurrency < 1:
        raise InputError(f"concurrency: {concurrency} is not a number from 1 on")
    if not think_s >= 0:
        raise InputError(f"think time: {think_s:g} s is negative")
    return Load(
        num_requests=num_requests,
        lengths=lengths,
        label=f"closed loop of {concurrency:,} users",
        concurrency=min(concurrency, num_requests),
        think_s=think_s,
        in_order=in_order,
    )


def burst_load(lengths: Lengths, num_requests: int, *, in_order: bool = False) -> Load:
    """Return requests that all come at once, as offline work and throughput benchmarks send them."""
    return Load(num_requests=num_requests, lengths=lengths, label="all requests at once", in_order=in_order)


def unit_gaps(rng: np.random.Generator, count: int, cv_ratio: float, gaps: Gaps = "gamma") -> Times:
    """Return gaps of mean 1 with this coefficient of variation [count]."""
    if cv_ratio == 0:
        return np.ones(count)
    if gaps == "weibull":
        shape = weibull_shape(cv_ratio)
        return rng.weibull(shape, count) / math.gamma(1.0 + 1.0 / shape)
    if cv_ratio == 1.0:
        return rng.standard_exponential(count)
    square = cv_ratio**2
    return rng.standard_gamma(1.0 / square, count) * square


def weibull_shape(cv_ratio: float) -> float:
    """Return the shape of a Weibull distribution with this coefficient of variation.

    Example:
        >>> round(weibull_shape(1.0), 6)
        1.0
    """
    low, high = 0.05, 200.0
    for _ in range(100):  # the coefficient falls as the shape grows
        middle = math.sqrt(low * high)
        log_ratio = math.lgamma(1.0 + 2.0 / middle) - 2.0 * math.lgamma(1.0 + 1.0 / middle)
        low, high = (middle, high) if math.expm1(log_ratio) > cv_ratio**2 else (low, middle)
    return math.sqrt(low * high)


def _through_day(steady: Times, shape: tuple[float, ...]) -> Times:
    """Return times at which the integral of a daily rate reaches what a steady rate would reach at `steady`."""
    if not shape:
        return steady
    day = 24 * _SECONDS_PER_HOUR
    reached = np.concatenate([[0.0], np.cumsum(shape)]) * _SECONDS_PER_HOUR  # mean 1, so a day reaches a day
    hours = np.arange(25) * _SECONDS_PER_HOUR
    whole = np.floor(steady / day)
    return np.asarray(whole * day + np.interp(steady - whole * day, reached, hours))
