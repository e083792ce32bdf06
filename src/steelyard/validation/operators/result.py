"""Kernels timed alone: every generation of devices left out in turn, and the fit of the device to all."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from steelyard import catalog
from steelyard.device import Device, Efficiency, collective_time_over, kernels_of, links_of, rates_for, time_at
from steelyard.records.operator import Operator
from steelyard.validation.baselines import constant_share, nearest_row
from steelyard.validation.errors import Predicted, groups_by_metric
from steelyard.validation.fit import Fitted, Parameter, fit, robust_log_sigma
from steelyard.validation.operators.points import Kernel, kernels
from steelyard.validation.points import Point, Refusal, Vector, equal_weights
from steelyard.validation.result import Calibration, Fit, Validation

METRICS = ("gemm", "attention prefill", "attention decode", "collective")
LEFT_OUT = "every generation of devices predicted by a fit that never saw it"
SHIPPED = "predicted with the parameters of the calibration"
_SIGMA = "kernel_residual_sigma_ratio"
_PERFECT = {
    "matmul_ratio": 1.0, "narrow_matmul_ratio": 1.0, "matmul_pad_count": 1e-9, "expanded_ratio": 1.0,
    "expand_flop_count": 1e-9, "attention_ratio": 1.0, "attention_flop_per_byte": 1e-9, "memory_ratio": 1.0,
    "cache_memory_ratio": 1.0, "kernel_launch_s": 1e-9, "link_ratio": 1.0, "link_latency_s": 1e-9,
}  # fmt: skip

PARAMETERS = tuple(
    Parameter(name=name, value=value, log_sd_ratio=spread, low=low, high=high)
    for name, value, spread, low, high in (
        ("matmul_ratio", 0.75, 0.3, 0.1, 1.0),
        ("narrow_matmul_ratio", 0.8, 0.3, 0.3, 1.0),
        ("matmul_pad_count", 60.0, 0.5, 1.0, 300.0),
        ("expanded_ratio", 0.9, 0.3, 0.3, 1.3),
        ("attention_ratio", 0.5, 0.3, 0.1, 1.0),
        ("attention_flop_per_byte", 50.0, 0.5, 1.0, 500.0),
        ("memory_ratio", 0.8, 0.2, 0.3, 1.0),
        ("cache_memory_ratio", 0.75, 0.2, 0.3, 1.0),
        ("kernel_launch_s", 4.5e-6, 0.4, 1e-7, 5e-5),
        ("link_ratio", 0.8, 0.2, 0.2, 1.0),
        ("link_latency_s", 5e-6, 0.5, 1e-7, 1e-4),
        ("link_overlap_exponent_ratio", 0.6, 0.3, 0.3, 3.0),
    )
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Timed:
    """Kernels of one kind and format on one device, as one operator with arrays."""

    device: Device
    op: Operator | None
    collective: str
    payload_bytes: Vector
    ranks: Vector
    at: Vector  # positions among the points


def validate(data: Path | None = None, *, refit: bool = True) -> Validation:
    """Return how far predictions of kernels miss published timings; arguments as for serving and training.

    Raises:
        InputError: The file is not such a table.
    """
    table = catalog.published("operators") if data is None else catalog.read_published(data, "operators")
    pairs, refused = kernels(table.rows)
    points = [point for point, _ in pairs]
    if not points:
        return _result(points, Predicted.joined([]), refused, SHIPPED, table.warnings)
    timed = together([kernel for _, kernel in pairs])
    if refit and data is None:
        predicted, sigma, _, _ = _leave_out(timed, points)
        return _result(points, _ranges(timed, points, predicted, sigma), refused, LEFT_OUT)
    sigma = np.full(len(points), catalog.calibration("device")[_SIGMA].value)
    return _result(
        points, _ranges(timed, points, predict(timed, {}, len(points)), sigma), refused, SHIPPED, table.warnings
    )


def calibrate() -> Calibration:
    """Return the device parameters fitted to all shipped timings."""
    pairs, refused = kernels(catalog.published("operators").rows)
    points = [point for point, _ in pairs]
    timed = together([kernel for _, kernel in pairs])
    predicted, sigma, whole, without = _leave_out(timed, points)
    found = _result(points, _ranges(timed, points, predicted, sigma), refused, LEFT_OUT)
    return Calibration(
        kind="device",
        fits=(Fit.of(whole, without),),
        residual_sigmas={_SIGMA: float(np.median(sigma))},
        groups=found.groups,
    )


def together(listed: Sequence[Kernel]) -> list[Timed]:
    """Return kernels that share a device, a kind and a format as one operator with arrays."""
    members: dict[tuple[str, ...], list[int]] = {}
    for index, kernel in enumerate(listed):
        kind = (kernel.op.kind, kernel.op.compute_dtype) if kernel.op else (kernel.collective, "")
        members.setdefault((kernel.device.id, *kind), []).append(index)
    names = ("flop", "weight_bytes", "activation_bytes", "cache_bytes", "m", "n", "k")
    found = []
    for own in members.values():
        first = listed[own[0]]
        op = first.op
        if op is not None:
            columns: dict[str, Any] = {
                name: np.array([getattr(listed[i].op, name) for i in own], dtype=np.float64) for name in names
            }
            op = dataclasses.replace(op, **columns)
        found.append(
            Timed(
                device=first.device,
                op=op,
                collective=first.collective,
                payload_bytes=np.array([listed[i].payload_bytes for i in own]),
                ranks=np.array([listed[i].ranks for i in own]),
                at=np.array(own),
            )
        )
    return found


def predict(timed: Sequence[Timed], values: Mapping[str, float], count: int) -> Vector:
    """Return the time of every kernel [s]; parameters that are not named keep their shipped value."""
    seconds = np.empty(count)
    for group in timed:
        reached = dataclasses.replace(group.device.efficiency, **values)
        seconds[group.at] = _seconds(group, reached)
    return seconds


def _seconds(group: Timed, reached: Efficiency) -> Vector:
    if group.op is None:
        links = links_of(group.device)
        return np.asarray(collective_time_over(group.collective, group.payload_bytes, group.ranks, links, reached))
    took = time_at(group.op, rates_for(group.op, group.device), reached)
    return np.asarray(took + kernels_of(group.op, reached) * reached.kernel_launch_s)


def _leave_out(timed: Sequence[Timed], points: Sequence[Point]) -> tuple[Vector, Vector, Fitted, list[Fitted]]:
    """Return predictions by fits without the own generation, their spread, and all fits."""
    families = np.array([point.family for point in points])
    measured = np.log([point.value for point in points])

    def logs(values: Mapping[str, float]) -> Vector:
        return np.log(np.maximum(predict(timed, values, len(points)), 1e-12))

    whole = fit(logs, PARAMETERS, measured, equal_weights(families.tolist()))
    predicted, without = np.empty(len(points)), []
    for name in np.unique(families):
        own = families == name
        weights = np.zeros(len(points))
        weights[~own] = equal_weights(families[~own].tolist())
        without.append(fit(logs, PARAMETERS, measured, weights, start=whole.values))
        predicted[own] = predict(timed, without[-1].values, len(points))[own]
    miss = np.log(predicted) - measured
    metrics = np.array([point.metric for point in points])
    sigma = np.empty(len(points))
    for metric in np.unique(metrics):
        for name in np.unique(families[metrics == metric]):
            own = (metrics == metric) & (families == name)
            others = (metrics == metric) & (families != name)
            rows = others if others.any() else own
            sigma[own] = robust_log_sigma(miss[rows], equal_weights(families[rows].tolist()))
    return predicted, sigma, whole, without


def _ranges(timed: Sequence[Timed], points: Sequence[Point], middle: Vector, sigma: Vector) -> Predicted:
    return Predicted.around(middle, sigma, _baselines(timed, points))


def _baselines(timed: Sequence[Timed], points: Sequence[Point]) -> Mapping[str, Vector]:
    """Return what one share of the printed roofline, and the nearest timing of another generation, would say."""
    ideal = predict(timed, _PERFECT, len(points))
    measured = np.array([point.value for point in points])
    families = np.array([point.family for point in points])
    metrics = np.array([point.metric for point in points])
    sizes = np.zeros((len(points), 4))
    for group in timed:
        op = group.op
        columns = (op.flop, op.m, op.n, op.weight_bytes) if op else (group.payload_bytes, group.ranks, 0.0, 0.0)
        sizes[group.at] = np.log1p(np.stack([np.broadcast_to(c, group.at.shape) for c in columns], axis=1))
    found = {name: np.empty(len(points)) for name in ("constant", "nearest")}
    for metric in np.unique(metrics):
        here = metrics == metric
        found["constant"][here] = constant_share(measured[here], ideal[here], families[here])
        found["nearest"][here] = nearest_row(measured[here], ideal[here], families[here], sizes[here])
    return found


def _result(
    points: Sequence[Point],
    predicted: Predicted,
    refused: Sequence[Refusal],
    basis: str,
    warnings: tuple[str, ...] = (),
) -> Validation:
    return Validation(
        kind="operators",
        basis=basis,
        groups=groups_by_metric(points, predicted, refused, METRICS),
        points=tuple(points),
        predicted=predicted,
        refusals=tuple(refused),
        warnings=warnings,
    )
