"""What `simulate serve` and `plan serve` ask alike: the latency objective."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from steelyard.records.workload import Objective


def take_objective(options: dict[str, Any]) -> Objective:
    """Take `ttft`, `tpot` and `percentile` out of the options and return them as an objective."""
    from steelyard.records.workload import Objective

    percentile = options.pop("percentile")
    limits = {f"{name}_s": limit for name in ("ttft", "tpot") if (limit := options.pop(name)) is not None}
    return Objective(**limits, ttft_percentile=percentile, tpot_percentile=percentile)
