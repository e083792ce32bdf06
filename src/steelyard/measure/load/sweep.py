"""Finding the knee: the highest rate at which an endpoint still answers as asked."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from steelyard.errors import OutsideProgramError
from steelyard.measure.load.client import Endpoint
from steelyard.measure.load.plan import closed_plan, open_plan
from steelyard.measure.load.run import Progress, measure_load
from steelyard.records.serving_metrics import ServingMetrics, serving_metrics
from steelyard.records.workload import Lengths, Objective

_DOUBLINGS, _BISECTIONS = 14, 3
_LEAST_REQUESTS, _MOST_FAILED_RATIO, _MOST_SLOWDOWN_RATIO = 20, 0.01, 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepPoint:
    """One rate, what it led to, and whether that was good enough."""

    offered_request_rate_per_s: float
    sustained: bool
    metrics: ServingMetrics

    def to_dict(self) -> dict[str, Any]:
        own = {"offered_request_rate_per_s": self.offered_request_rate_per_s, "sustained": self.sustained}
        return own | {"metrics": self.metrics.to_dict()}


@dataclass(frozen=True, slots=True, kw_only=True)
class Sweep:
    """Rates in ascending order; the knee lies between the highest sustained one and the next."""

    points: tuple[SweepPoint, ...]
    unloaded: ServingMetrics  # one user
    criterion: str

    @property
    def knee_request_rate_per_s(self) -> float:
        """The highest rate below the first that was not sustained; 0 when none was."""
        best = 0.0
        for point in self.points:
            if not point.sustained:
                break
            best = point.offered_request_rate_per_s
        return best

    def to_dict(self) -> dict[str, Any]:
        return {
            "criterion": self.criterion,
            "knee_request_rate_per_s": self.knee_request_rate_per_s,
            "unloaded": self.unloaded.to_dict(),
            "points": [point.to_dict() for point in self.points],
        }


def sweep(
    endpoint: Endpoint,
    lengths: Lengths,
    objective: Objective,
    *,
    attainment_ratio: float = 0.95,
    step_s: float | None = None,
    duration_s: float = math.inf,
    max_requests: int = 100_000,
    seed: int = 0,
    progress: Progress | None = None,
) -> Sweep:
    """Return open-loop measurements at rising rates, and between the last sustained rate and the first that was not.

    A rate is sustained when this share of requests meets the objective. Without an objective: when at most 1% fail and
    the median E2E is at most twice that of one user alone.

    Args:
        endpoint: As `find_endpoint` returns it.
        lengths: Of the requests.
        objective: Limits of TTFT and TPOT, or none.
        attainment_ratio: Share of requests that must meet it.
        step_s: Time over which requests are due at each rate, longer where that would be under 20 requests; a sixth
            of `duration_s` when None, at most 15 s.
        duration_s: No further rate is begun after it.
        max_requests: At one rate.
        seed: Of arrivals and lengths.
        progress: As in `measure_load`.

    Raises:
        OutsideProgramError: Not one answer without load.
    """
    deadline = time.monotonic() + duration_s
    step_s = min(duration_s / 6.0, 15.0) if step_s is None else step_s
    alone = closed_plan(lengths, 1, num_requests=_LEAST_REQUESTS, duration_s=step_s, seed=seed)
    unloaded = serving_metrics(measure_load(endpoint, alone, progress=progress), objective)
    if not unloaded.num_answered:
        raise OutsideProgramError(f"{endpoint.target}: no answer to one user: {', '.join(unloaded.errors)}")
    limited = math.isfinite(objective.ttft_s) or math.isfinite(objective.tpot_s)
    slowest_s = _MOST_SLOWDOWN_RATIO * unloaded.e2e.percentiles_s[50.0]

    def measured(rate: float) -> SweepPoint:
        count = min(max(round(rate * step_s), _LEAST_REQUESTS), max_requests)
        plan = open_plan(lengths, rate, num_requests=count, seed=seed + 1)
        found = serving_metrics(measure_load(endpoint, plan, progress=progress), objective)
        if limited:
            sustained = found.slo_attainment_ratio >= attainment_ratio
        else:
            failed = 1.0 - found.num_answered / found.num_requests
            sustained = failed <= _MOST_FAILED_RATIO and found.e2e.percentiles_s[50.0] <= slowest_s
        return SweepPoint(offered_request_rate_per_s=rate, sustained=sustained, metrics=found)

    points = _search(measured, 1.0 / unloaded.e2e.mean_s, lambda: time.monotonic() < deadline)
    criterion = (
        f"{attainment_ratio:.0%} of requests within the objective"
        if limited
        else f"at most {_MOST_FAILED_RATIO:.0%} failed, median E2E at most {_MOST_SLOWDOWN_RATIO:g} times one user's"
    )
    return Sweep(points=tuple(points), unloaded=unloaded, criterion=criterion)


def _search(measured: Callable[[float], SweepPoint], first: float, go_on: Callable[[], bool]) -> list[SweepPoint]:
    """Double the rate until it is not sustained, then halve the gap on a logarithmic scale."""
    points: list[SweepPoint] = []
    low, high, rate = 0.0, math.inf, first
    for _ in range(_DOUBLINGS + _BISECTIONS):
        if points and not go_on():
            break
        points.append(measured(rate))
        if points[-1].sustained:
            low = rate
        else:
            high = rate
        if math.isfinite(high) and low and high / low < 2.0 ** (1.01 / 2**_BISECTIONS):
            break
        rate = rate * 2.0 if high == math.inf else math.sqrt(low * high) if low else rate / 2.0
    return sorted(points, key=lambda point: point.offered_request_rate_per_s)
