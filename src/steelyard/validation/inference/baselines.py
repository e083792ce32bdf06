"""The two rules that serving predictions must beat: one share of the printed roofline, and the nearest measured row."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np

from steelyard import arch
from steelyard.device import Efficiency
from steelyard.validation.baselines import constant_share, nearest_row
from steelyard.validation.inference.predict import Serving
from steelyard.validation.points import Vector

_PERFECT = {  # printed rates, nothing beside them
    "matmul_ratio": 1.0, "narrow_matmul_ratio": 1.0, "matmul_pad_count": 1e-9, "grouped_matmul_ratio": 1.0,
    "grouped_memory_ratio": 1.0, "dispatch_memory_ratio": 1.0, "expanded_ratio": 1.0, "expand_flop_count": 1e-9,
    "attention_ratio": 1.0,
    "attention_flop_per_byte": 1e-9, "memory_ratio": 1.0, "cache_memory_ratio": 1.0, "kernel_launch_s": 1e-12,
    "dispatch_kernels_count": 1.0,
    "link_ratio": 1.0, "link_latency_s": 1e-12, "fused_link_ratio": 1.0, "fused_latency_s": 1e-12,
    "pcie_link_ratio": 1.0, "pcie_link_latency_s": 1e-12,
    "scale_out_link_ratio": 1.0, "scale_out_latency_s": 1e-12, "active_power_ratio": 1.0, "compute_power_ratio": 1e-9,
    "time_ratio": 1.0, "step_overhead_s": 1e-12, "sequence_overhead_s": 1e-12, "prompt_overhead_s": 1e-12,
    "stream_token_s": 1e-12, "request_overhead_s": 1e-12, "request_token_s": 1e-15, "admission_steps": 1e-9,
    "expert_skew_ratio": 1e-9,
    "host_layer_s": 1e-12, "host_launch_s": 1e-12, "host_expert_s": 1e-12,
}  # fmt: skip


def perfect(prepared: Serving) -> Vector:
    """Return what printed rates alone would give for every point, in SI."""
    names = {field.name for field in dataclasses.fields(Efficiency)} | set(_PERFECT)
    return prepared.predict({name: value for name, value in _PERFECT.items() if name in names})


def baselines(prepared: Serving, measured: Vector) -> Mapping[str, Vector]:
    """Return both baselines of every point; metric by metric, a family never sees its own rows.

    Energy, which one family alone measures, goes by device instead.
    """
    points, runs = prepared.measured.points, prepared.measured.runs
    origins = np.array([point.family for point in points])
    devices = np.array([runs[run].device.id for run in prepared.measured.run_of])
    scale = perfect(prepared)
    features = _features(prepared)
    found = {name: np.full(len(measured), np.nan) for name in ("constant", "nearest")}
    for metric in np.unique(prepared.facts.metric):
        here = prepared.facts.metric == metric
        families = origins if len(np.unique(origins[here])) > 1 else devices
        found["constant"][here] = constant_share(measured[here], scale[here], families[here])
        found["nearest"][here] = nearest_row(measured[here], scale[here], families[here], features[here])
    return found


def _features(prepared: Serving) -> Vector:
    """Return what rows are compared by [N, F]: logarithms of sizes, and 1 for another engine."""
    runs, load = prepared.measured.runs, prepared.load
    sizes = {run.model.id: arch.count_params(run.model) for run in runs}
    columns = [
        [sizes[run.model.id].total_params for run in runs],
        [sizes[run.model.id].active_params for run in runs],
        [arch.dtype_bytes(run.deployment.weight_dtype) for run in runs],
        [run.deployment.num_devices for run in runs],
        [run.device.accelerator.hbm_bytes_per_s for run in runs],
        load.isl_tokens + load.cached_tokens,
        load.osl_tokens,
        np.minimum(np.maximum(load.users, load.request_rate_per_s), load.limit),
    ]
    logs = np.log(np.maximum(np.array(columns, dtype=np.float64), 1e-9))
    engines = np.unique(prepared.facts.engines, return_inverse=True)[1]
    return np.vstack([logs, *(engines == one for one in np.unique(engines))]).T[prepared.facts.run_of]
