"""Whether the better of two layouts is told: pairs of runs that differ in layout alone, at equal load per device."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Hashable
from dataclasses import dataclass

import numpy as np

from steelyard.inference import Deployment
from steelyard.validation.inference.points import Measured
from steelyard.validation.points import Row, Vector

APART_RATIO = 0.03
"""Pairs nearer than this are counted apart: repeats of one run differ by more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ordering:
    """Pairs of layouts by output tokens/s of a device, and the share of them that prediction orders as measured."""

    num_pairs: int
    right_ratio: float
    num_pairs_apart: int  # of those that differ by more than `APART_RATIO`
    right_apart_ratio: float

    def to_dict(self) -> dict[str, float]:
        """Return plain data."""
        return {
            "num_pairs": self.num_pairs,
            "right_ratio": self.right_ratio,
            "num_pairs_apart": self.num_pairs_apart,
            "right_apart_ratio": self.right_apart_ratio,
        }


def ordering(measured: Measured, predicted: Vector) -> Ordering | None:
    """Return how many pairs of layouts are ordered right; None without any pair.

    A pair is two runs of one source, engine and version, model, device, formats and lengths, in a closed loop with as
    many users per device, cut in two ways. Compared is users * OSL / (TTFT + (OSL - 1) TPOT) / devices.

    Args:
        measured: Runs and points.
        predicted: Of the points [N].
    """
    groups: defaultdict[Hashable, list[tuple[Deployment, Vector]]] = defaultdict(list)
    for run, (row, ttft_s, tpot_s) in _latencies(measured, predicted).items():
        one = measured.runs[run]
        cut = one.deployment
        key = (
            row["source"], row["engine_version"], one.model.id, one.device.id, one.engine.name, cut.weight_dtype,
            cut.compute_dtype, one.isl_tokens, one.osl_tokens, one.load / cut.num_devices,
        )  # fmt: skip
        groups[key].append((cut, -np.log((ttft_s + (one.osl_tokens - 1.0) * tpot_s) * cut.num_devices / one.load)))
    apart = [
        first[1] - second[1]
        for alike in groups.values()
        for first, second in itertools.combinations(alike, 2)
        if first[0] != second[0]
    ]
    if not apart:
        return None
    found, told = np.array(apart).T
    right, far = found * told > 0, np.abs(found) > np.log1p(APART_RATIO)
    return Ordering(
        num_pairs=len(apart),
        right_ratio=float(right.mean()),
        num_pairs_apart=int(far.sum()),
        right_apart_ratio=float(right[far].mean()) if far.any() else 1.0,
    )


def _latencies(measured: Measured, predicted: Vector) -> dict[int, tuple[Row, Vector, Vector]]:
    """Return of each run in a closed loop a row, TTFT and TPOT; both as (measured, predicted), means of repeats."""
    values: defaultdict[int, defaultdict[str, list[tuple[float, float]]]] = defaultdict(lambda: defaultdict(list))
    rows: dict[int, Row] = {}
    for index, (point, run) in enumerate(zip(measured.points, measured.run_of, strict=True)):
        if point.metric in ("ttft", "tpot") and measured.runs[run].harness.kind == "closed loop":
            values[run][point.metric].append((point.value, float(predicted[index])))
            rows[run] = point.row
    return {
        run: (rows[run], np.mean(of["ttft"], axis=0), np.mean(of["tpot"], axis=0))
        for run, of in values.items()
        if len(of) == 2
    }
