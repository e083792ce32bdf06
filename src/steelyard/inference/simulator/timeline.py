"""What a fleet did over time: means over slots of equal length, at most 256 of them however long the run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from steelyard.inference.simulator.kernel.layout import State

Series = npt.NDArray[np.float64]
_PERCENTILES = (50.0, 95.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeline:
    """Means over slots [T] between `edges_s` [T + 1], warm-up included; the last slot ends with the run.

    Latencies are those of the requests answered in a slot, from bins of 1/8 of a doubling (within 5%); NaN where none
    was.
    """

    edges_s: Series
    in_system_requests: Series  # in a batch, waiting, or on their way to another device
    in_batch_requests: Series
    kv_use_ratio: Series  # of the pools of all replicas that are paid
    output_tokens_per_s: Series
    answered_request_per_s: Series
    replica_count: Series  # paid: those that start included
    ttft_p50_s: Series
    ttft_p95_s: Series
    tpot_p50_s: Series
    tpot_p95_s: Series

    def to_dict(self) -> dict[str, list[float | None]]:
        """Return the series as lists; null where a slot has no value."""
        return {
            name: [value if np.isfinite(value) else None for value in getattr(self, name).tolist()]
            for name in self.__dataclass_fields__
        }


def read_timeline(state: State, end_s: float) -> Timeline:
    """Return what the event loop counted by slot, of a run that ended at `end_s`."""
    from steelyard.inference.simulator.kernel import layout

    slot_s = 1.0 / float(state.world[0]["slots_per_s"])
    used = min(max(1, int(np.ceil(end_s / slot_s))), layout.SLOTS)
    edges = np.minimum(np.arange(used + 1) * slot_s, max(end_s, 1e-9))
    width = np.maximum(np.diff(edges), 1e-12)
    sums = state.timeline[:used]
    paid_s = sums[:, layout.PAID] + _still_up(state, edges)
    with np.errstate(divide="ignore", invalid="ignore"):
        kv_use = np.nan_to_num(sums[:, layout.KV_USE] / paid_s)
    latencies = state.slot_latencies[:used].reshape(used, 2, layout.SLOT_BINS)
    percentiles = {
        f"{name}_p{level:g}_s": _percentile_s(latencies[:, metric], level, layout)
        for name, metric in (("ttft", layout.TTFT), ("tpot", layout.TPOT))
        for level in _PERCENTILES
    }
    return Timeline(
        edges_s=edges,
        in_system_requests=sums[:, layout.IN_SYSTEM] / width,
        in_batch_requests=sums[:, layout.IN_BATCH] / width,
        kv_use_ratio=kv_use,
        output_tokens_per_s=sums[:, layout.TOKENS] / width,
        answered_request_per_s=sums[:, layout.ANSWERED] / width,
        replica_count=paid_s / width,
        **percentiles,
    )


def _still_up(state: State, edges: Series) -> Series:
    """Return the seconds of each slot paid for replicas that have not stopped [T]."""
    up = state.replicas["up_since"][state.replicas["status"] != 0]
    return np.asarray(np.clip(edges[1:, None] - np.maximum(up, edges[:-1, None]), 0.0, None).sum(axis=1))


def _percentile_s(counts: npt.NDArray[np.int64], percentile: float, layout: Any) -> Series:
    """Return the percentile of each row of binned times [T], NaN where a row is empty."""
    per_doubling = 1 << (layout.BINS_PER_DOUBLING_BITS - layout.FINE_TO_SLOT_BITS)
    below = np.cumsum(counts, axis=1)
    total = below[:, -1]
    wanted = np.maximum(percentile / 100.0 * total, 0.5)
    place = (below < wanted[:, None]).sum(axis=1).clip(max=counts.shape[1] - 1)
    rows = np.arange(len(counts))
    held = np.maximum(counts[rows, place], 1)
    within = (wanted - (below[rows, place] - counts[rows, place])) / held
    low = 2.0 ** (layout.LEAST_EXPONENT + place // per_doubling)
    found = low * (1.0 + (place % per_doubling + within) / per_doubling)
    return np.where(total > 0, found, np.nan)
