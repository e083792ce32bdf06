"""What a simulation says: percentiles, rates, use of the devices."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from steelyard.inference.simulator.timeline import Timeline
from steelyard.records.requests import SimulatedRequests

Counts = npt.NDArray[np.float64]
METRICS = ("ttft", "tpot", "itl", "e2e")


@dataclass(frozen=True, slots=True, kw_only=True)
class Distribution:
    """Times of a metric, counted in bins of 1/128 of a doubling: percentiles are within 0.4%."""

    edges: Counts  # [bins + 1]
    counts: Counts  # [bins]
    mean_s: float

    def percentile_s(self, percentile: float) -> float:
        """Return the time that this share of values does not exceed [s]; NaN when there are none."""
        total = float(self.counts.sum())
        if total == 0:
            return float("nan")
        below = np.cumsum(self.counts)
        wanted = min(max(percentile / 100.0 * total, 0.5), total)
        place = int(np.searchsorted(below, wanted))
        within = (wanted - (below[place] - self.counts[place])) / self.counts[place]
        return float(self.edges[place] + within * (self.edges[place + 1] - self.edges[place]))

    def share_within(self, limit_s: float) -> float:
        """Return the share of values up to a limit (ratio)."""
        total = float(self.counts.sum())
        if total == 0:
            return float("nan")
        reached = np.interp(limit_s, self.edges, np.concatenate([[0.0], np.cumsum(self.counts)]))
        return float(reached / total)


@dataclass(frozen=True, slots=True, kw_only=True)
class ServingResult:
    """One simulated run. Rates are over the time from the first counted arrival to the last counted answer."""

    num_requests: int  # answered
    num_counted: int  # after warm-up
    num_rejected: int  # longer than the context
    num_preemptions: int
    num_failed_over: int
    duration_s: float  # from the first arrival to the last answer, warm-up included
    counted_s: float
    request_rate_per_s: float
    output_tokens_per_s: float
    input_tokens_per_s: float
    goodput_request_per_s: float
    slo_attainment_ratio: float
    ttft: Distribution
    tpot: Distribution
    itl: Distribution
    e2e: Distribution
    busy_ratio: float  # share of paid time in which a step runs
    kv_use_ratio: float  # of the pool, mean over busy time
    kv_peak_ratio: float
    mean_batch_requests: float  # sequences in a step, mean over busy time
    mean_in_system_requests: float
    peak_in_system: int
    prefix_hit_ratio: float  # blocks found over blocks asked for
    prefilled_tokens: int  # computed, recomputed ones included
    recomputed_tokens: int  # lost by preemption and not found in the cache again
    reused_tokens: int  # of prompts, found in the cache: prefilled + reused = asked for + recomputed, but for failures
    energy_j: float  # IT, idle included
    host_energy_j: float  # of it, the share of the hosts
    device_s: float  # paid
    mean_replica_count: float
    timeline: Timeline | None = None
    events: SimulatedRequests | None = None

    def percentiles_s(self, metric: str, wanted: tuple[float, ...] = (50.0, 90.0, 95.0, 99.0)) -> dict[str, float]:
        """Return mean and percentiles of `ttft`, `tpot`, `itl` or `e2e` [s].

        With kept events those of requests are exact; gaps between tokens are always from bins.
        """
        held: Distribution = getattr(self, metric)
        return {"mean": held.mean_s} | {f"p{level:g}": held.percentile_s(level) for level in wanted}

    def to_dict(self) -> dict[str, Any]:
        """Return everything but distributions and events as plain values, percentiles in their place."""
        apart = (*METRICS, "events", "timeline")
        plain = {name: getattr(self, name) for name in self.__dataclass_fields__ if name not in apart}
        latencies = {f"{metric}_s": self.percentiles_s(metric) for metric in METRICS}
        over_time = {} if self.timeline is None else {"timeline": self.timeline.to_dict()}
        return plain | latencies | over_time
