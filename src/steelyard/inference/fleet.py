"""Many replicas: how many a load needs, what spreading it costs, how long a new one takes to start."""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np

from steelyard import catalog
from steelyard.errors import CatalogError, InputError
from steelyard.records.workload import Workload
from steelyard.units import Array


def fleet_size(
    capacity_request_rate_per_s: Array,
    peak_request_rate_per_s: Array,
    *,
    arrival_cv_ratio: Array = 1.0,
    batch: Array = 1.0,
    percentile: float = 95.0,
) -> Array:
    """Return the replicas that carry a peak request rate, with headroom for bursts (count).

    replicas = ceil(R + z sqrt(R (cv^2 - 1) / 2 / batch)),  R = peak / capacity

    The square-root rule counts places: R * batch of them are busy on average, and bursts beyond Poisson widen that
    number by the variance R * batch * (cv^2 - 1) / 2. What Poisson arrivals need is in the capacity already.

    Args:
        capacity_request_rate_per_s: Of one replica (`Capacity.request_rate_per_s`); 0 gives infinity.
        peak_request_rate_per_s: Highest mean rate to be carried.
        arrival_cv_ratio: Coefficient of variation of the gaps between requests around the peak.
        batch: Places of one replica (`Capacity.batch`); with 1, each burst is met by whole replicas.
        percentile: Share of time in which a place is free.

    Returns:
        Whole replicas in the broadcast shape; 0 where there is no load, else at least 1.

    Raises:
        InputError: A rate is negative or not a number.

    Source:
        Halfin, Whitt, "Heavy-Traffic Limits for Queues with Many Exponential Servers", Operations Research 29(3), 1981.

    Example:
        >>> fleet_size(10.0, np.array([0.0, 3.0, 25.0])).tolist()
        [0.0, 1.0, 3.0]
        >>> float(fleet_size(10.0, 25.0, arrival_cv_ratio=3.0, batch=100.0))  # 2.5 + 1.645 sqrt(2.5 * 4 / 100) = 3.02
        4.0
    """
    capacity, peak = (
        np.asarray(capacity_request_rate_per_s, dtype=np.float64),
        np.asarray(peak_request_rate_per_s, dtype=np.float64),
    )
    if not (np.all(capacity >= 0) and np.all(peak >= 0)):
        raise InputError("fleet size: capacity and peak request rate must be numbers from 0 on")
    load = np.divide(peak, capacity, out=np.full(np.broadcast(peak, capacity).shape, math.inf), where=capacity > 0)
    load = np.where(peak > 0, load, 0.0)
    beyond_poisson = np.maximum(np.asarray(arrival_cv_ratio, dtype=np.float64) ** 2 - 1.0, 0.0) / 2.0
    score = max(0.0, NormalDist().inv_cdf(percentile / 100.0))
    places = np.maximum(batch, 1.0)
    headroom = score * np.sqrt(np.where(np.isfinite(load), load, 0.0) * beyond_poisson / places)
    whole = np.ceil(load + headroom - 1e-9)  # a load of exactly 3 replicas is not 4 for a rounding error
    return np.where(peak > 0, np.maximum(whole, 1.0), 0.0)


def prefix_hit_ratio(workload: Workload, replicas: Array) -> Array:
    """Return the share of prompt tokens served from prefix caches when requests are spread evenly (ratio).

    One cache for all requests has the workload's own share; spread over n caches, it falls as it was computed to fall
    on a public trace, interpolated in the logarithm of n.

    Example:
        >>> from steelyard import catalog
        >>> one, many = prefix_hit_ratio(catalog.workload("long-context"), np.array([1.0, 16.0]))
        >>> bool(many < one)
        True
    """
    counts, hits = _affinity_loss()
    spread = np.interp(np.log(np.maximum(replicas, 1.0)), np.log(counts), hits)
    return np.asarray(workload.prefix_hit_ratio * spread / hits[0])


def replica_scaling(workload: Workload, replicas: Array, *, prefill_time_ratio: float | None = None) -> Array:
    """Return the capacity of a replica among `replicas`, relative to a single one (ratio, at most 1).

    efficiency(n) = work(hits of one cache) / work(hits of n caches),  work(h) = (1 - p) + p (1 - h)

    Args:
        workload: Its prefix hit share; 0 means no loss.
        replicas: Number of replicas n, any shape, requests spread evenly over them.
        prefill_time_ratio: Share p of a replica's time that prompts take without any cache; the share of prompt
            tokens when None.

    Assumes:
        Requests are otherwise independent: replicas share nothing.

    Example:
        >>> from steelyard import catalog
        >>> replica_scaling(catalog.workload("long-context"), np.array([1.0, 64.0])).round(2).tolist()
        [1.0, 0.68]
    """
    if prefill_time_ratio is None:
        prefill_time_ratio = workload.isl_mean_tokens / (workload.isl_mean_tokens + workload.osl_mean_tokens)

    def work(count: Array) -> Array:
        return 1.0 - prefill_time_ratio * prefix_hit_ratio(workload, count)

    return work(1.0) / work(replicas)


def _affinity_loss() -> tuple[list[float], list[float]]:
    """Return replica counts and the block hit shares with as many caches, as computed from a trace."""
    rows = {row["id"]: row for row in catalog.table("anchors").rows}
    pairs = sorted(
        (int(name.removeprefix(_PREFIX)), row.value("value")) for name, row in rows.items() if name.startswith(_PREFIX)
    )
    if len(pairs) < 2 or pairs[0][0] != 1:
        raise CatalogError(f"tables/anchors.csv: rows {_PREFIX}1, {_PREFIX}4, ... are missing")
    return [float(count) for count, _ in pairs], [hit for _, hit in pairs]


_PREFIX = "prefix-hit-replicas-"
