"""Metrics of a serving system, read off the events of its requests."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from steelyard.records.requests import RequestEvents
from steelyard.records.workload import Objective

PERCENTILES = (50.0, 90.0, 95.0, 99.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """Mean and percentiles of a time (linear interpolation); NaN when there is no value."""

    count: int
    mean_s: float
    percentiles_s: Mapping[float, float]

    def to_dict(self) -> dict[str, Any]:
        named = {f"p{level:g}_s": value for level, value in self.percentiles_s.items()}
        return {"count": self.count, "mean_s": self.mean_s} | named


@dataclass(frozen=True, slots=True, kw_only=True)
class ServingMetrics:
    """What a load saw. Rates are over the time from the first arrival to the last answer."""

    num_requests: int
    num_answered: int
    errors: Mapping[str, int]  # kind -> requests
    elapsed_s: float
    request_rate_per_s: float  # answered
    input_tokens_per_s: float
    output_tokens_per_s: float
    goodput_request_per_s: float  # answered within the objective
    slo_attainment_ratio: float  # of all requests, failed ones included
    mean_in_system_requests: float
    ttft: Spread
    tpot: Spread
    itl: Spread
    e2e: Spread
    send_delay: Spread  # how late the client was: large values say that the client, not the server, is the limit

    def to_dict(self) -> dict[str, Any]:
        plain = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return {name: value.to_dict() if isinstance(value, Spread) else value for name, value in plain.items()}


def spread(values: npt.NDArray[np.float64]) -> Spread:
    """Return mean and percentiles of the values that are numbers.

    Example:
        >>> spread(np.array([1.0, np.nan, 3.0])).percentiles_s[50.0]
        2.0
    """
    known = values[np.isfinite(values)]
    if not len(known):
        return Spread(count=0, mean_s=np.nan, percentiles_s=dict.fromkeys(PERCENTILES, np.nan))
    found = np.percentile(known, PERCENTILES)
    percentiles = {level: float(value) for level, value in zip(PERCENTILES, found, strict=True)}
    return Spread(count=len(known), mean_s=float(known.mean()), percentiles_s=percentiles)


def serving_metrics(events: RequestEvents, objective: Objective | None = None) -> ServingMetrics:
    """Return what the events say.

    Args:
        events: At least one request.
        objective: Limits that an answer must meet to be good; each counts for every request by itself. An answer of
            one token has no TPOT and meets any limit on it.

    Returns:
        Percentiles over answered requests; attainment over all.
    """
    limits = objective or Objective()
    ok = events.answered
    ttft, tpot, e2e = events.ttft_s[ok], events.tpot_s[ok], events.e2e_s[ok]
    good = (ttft <= limits.ttft_s) & (np.isnan(tpot) | (tpot <= limits.tpot_s))
    finished = events.end_s[np.isfinite(events.end_s)]
    elapsed = float(finished.max() - events.arrival_s.min()) if len(finished) else 0.0

    def rate(count: float) -> float:
        return float(count) / elapsed if elapsed > 0 else 0.0

    return ServingMetrics(
        num_requests=len(events),
        num_answered=int(ok.sum()),
        errors=dict(Counter(kind for kind in events.error if kind).most_common()),
        elapsed_s=elapsed,
        request_rate_per_s=rate(ok.sum()),
        input_tokens_per_s=rate(events.isl_tokens[ok].sum()),
        output_tokens_per_s=rate(events.osl_tokens[ok].sum()),
        goodput_request_per_s=rate(good.sum()),
        slo_attainment_ratio=float(good.sum()) / len(events),
        mean_in_system_requests=rate(np.nansum(events.e2e_s)),  # Little's law
        ttft=spread(ttft),
        tpot=spread(tpot),
        itl=spread(events.gaps_s),
        e2e=spread(e2e),
        send_delay=spread(events.sent_s - events.arrival_s),
    )
