"""Timing one piece of work: warmed up, repeated within a budget, with its spread."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

_LEAST_SAMPLE_S = 0.002  # shorter work is repeated within a sample, so that the clock does not count
_SAMPLES = 15


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """A measured value with its p10 and p90 over the repeats."""

    value: float
    low: float
    high: float

    def over(self, amount: float) -> Reading:
        """Return the rate at which `amount` is done in this time."""
        return Reading(value=amount / self.value, low=amount / self.high, high=amount / self.low)


def timed(
    work: Callable[[], object], synchronise: Callable[[], object], *, budget_s: float = 0.5, threads: int = 0
) -> Reading:
    """Return the time of one call [s], median and spread, after two calls to warm up.

    Work that keeps so many threads of this process busy is timed by the processor time of each where that is less than
    the clock's: then another program had the core. 0 threads: by the clock. `synchronise` returns when work given to
    the device is done.

    Example:
        >>> spent = timed(lambda: time.sleep(0.01), lambda: None, budget_s=0.1)
        >>> spent.low <= spent.value <= spent.high, spent.value >= 0.01
        (True, True)
    """
    for _ in range(2):
        work()
    synchronise()
    start = time.perf_counter()
    work()
    synchronise()
    once = time.perf_counter() - start
    calls = max(1, math.ceil(_LEAST_SAMPLE_S / max(once, 1e-9)))
    samples: list[float] = []
    deadline = time.perf_counter() + budget_s
    while len(samples) < 3 or (len(samples) < _SAMPLES and time.perf_counter() < deadline):
        start, used = time.perf_counter(), time.process_time()
        for _ in range(calls):
            work()
        synchronise()
        spent = time.perf_counter() - start
        if threads:
            spent = min(spent, (time.process_time() - used) / threads)
        samples.append(spent / calls)
    return reading(samples)


def timed_calls(work: Callable[[], object], calls: int) -> Reading:
    """Return the time of one of so many calls [s]: for work that several processes must do equally often."""
    for _ in range(3):
        work()
    samples = []
    for _ in range(calls):
        start = time.perf_counter()
        work()
        samples.append(time.perf_counter() - start)
    return reading(samples)


def reading(samples: list[float]) -> Reading:
    """Return median, p10 and p90."""
    low, middle, high = np.percentile(samples, [10, 50, 90])
    return Reading(value=float(middle), low=float(low), high=float(high))
