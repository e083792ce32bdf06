"""How far predictions miss: one definition for every room, and the table of it by family."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from steelyard.records.estimate import Z90
from steelyard.validation.points import Point, Refusal, Vector

OVERALL = "overall"


@dataclass(frozen=True, slots=True, kw_only=True)
class Predicted:
    """Predictions of points, in their order and unit: the middle, the 80% range, and simpler rules beside them."""

    p50: Vector
    p10: Vector
    p90: Vector
    baselines: Mapping[str, Vector]  # "constant": one share of the peak; "nearest": the nearest measured row

    @classmethod
    def around(cls, p50: Vector, log_sigma: Vector, baselines: Mapping[str, Vector]) -> Predicted:
        """Return predictions [N] whose logarithms are spread by `log_sigma` [N]."""
        factor = np.exp(Z90 * log_sigma)
        return cls(p50=p50, p10=p50 / factor, p90=p50 * factor, baselines=baselines)

    @classmethod
    def joined(cls, parts: Sequence[Predicted]) -> Predicted:
        """Return the predictions of several sets of points, end to end."""
        if not parts:
            return cls(p50=np.zeros(0), p10=np.zeros(0), p90=np.zeros(0), baselines={})
        p50, p10, p90 = (np.concatenate([getattr(part, name) for part in parts]) for name in ("p50", "p10", "p90"))
        rules = {rule: np.concatenate([part.baselines[rule] for part in parts]) for rule in parts[0].baselines}
        return cls(p50=p50, p10=p10, p90=p90, baselines=rules)


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Errors of one metric over one family of sources, or the median of the families (`overall`)."""

    group: str
    metric: str
    num_points: int
    num_refused: int
    median_abs_error_ratio: float | None
    p90_abs_error_ratio: float | None
    bias_ratio: float | None
    coverage_80_ratio: float | None
    width_80_ratio: float | None
    baseline_median_abs_error_ratio: float | None
    nearest_median_abs_error_ratio: float | None

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def abs_error_ratio(predicted: Vector, measured: Vector) -> Vector:
    """Return |predicted - measured| / measured.

    Example:
        >>> abs_error_ratio(np.array([90.0, 120.0]), np.array([100.0, 100.0])).tolist()
        [0.1, 0.2]
    """
    error: Vector = np.abs(predicted - measured) / measured
    return error


def groups(
    points: Sequence[Point], predicted: Predicted, refusals: Sequence[Refusal], *, metric: str
) -> tuple[Group, ...]:
    """Return the errors of every family, largest first, and before them the median over the families.

    median and p90 of |predicted - measured| / measured; bias = median of predicted / measured - 1; coverage = share of
    points within p10 to p90; width = median of p90 / p10.
    """
    chosen = np.array([point.metric == metric for point in points], bool)
    families = np.array([point.family for point in points])
    refused = [refusal for refusal in refusals if refusal.metric == metric]
    names = {str(name) for name in families[chosen]} | {refusal.family for refusal in refused}
    found = [
        _group(name, metric, points, predicted, chosen & (families == name), sum(r.family == name for r in refused))
        for name in names
    ]
    found.sort(key=lambda group: (-group.num_points, -group.num_refused, group.group))
    return (_overall(metric, found), *found)


def groups_by_metric(
    points: Sequence[Point], predicted: Predicted, refusals: Sequence[Refusal], metrics: Sequence[str]
) -> tuple[Group, ...]:
    """Return the errors of every family, metric by metric: first `metrics`, then others that rows state in vain."""
    every = dict.fromkeys((*metrics, *(refusal.metric for refusal in refusals)))
    return tuple(group for metric in every for group in groups(points, predicted, refusals, metric=metric))


def part(name: str, points: Sequence[Point], predicted: Predicted, chosen: Any, *, metric: str) -> Group | None:
    """Return the errors of some of the points [N of booleans] as the median over their families, under a name."""
    here = np.asarray(chosen, bool) & np.array([point.metric == metric for point in points], bool)
    families = np.array([point.family for point in points])
    found = [
        _group(str(family), metric, points, predicted, here & (families == family), 0) for family in {*families[here]}
    ]
    return replace(_overall(metric, found), group=name) if found else None


def _group(name: str, metric: str, points: Sequence[Point], predicted: Predicted, here: Any, num_refused: int) -> Group:
    if not here.any():
        return Group(group=name, metric=metric, num_points=0, num_refused=num_refused, **dict.fromkeys(_RATIOS))
    measured = np.array([point.value for point in points])[here]
    p50, p10, p90 = predicted.p50[here], predicted.p10[here], predicted.p90[here]
    error = abs_error_ratio(p50, measured)

    def baseline(rule: str) -> float | None:
        guess = predicted.baselines[rule][here] if rule in predicted.baselines else np.array([np.nan])
        return float(np.median(abs_error_ratio(guess, measured))) if np.isfinite(guess).all() else None

    return Group(
        group=name,
        metric=metric,
        num_points=int(here.sum()),
        num_refused=num_refused,
        median_abs_error_ratio=float(np.median(error)),
        p90_abs_error_ratio=float(np.quantile(error, 0.9)),
        bias_ratio=float(np.median(p50 / measured) - 1.0),
        coverage_80_ratio=float(np.mean((p10 <= measured) & (measured <= p90))),
        width_80_ratio=float(np.median(p90 / p10)),
        baseline_median_abs_error_ratio=baseline("constant"),
        nearest_median_abs_error_ratio=baseline("nearest"),
    )


_RATIOS = tuple(name for name in Group.__slots__ if name.endswith("_ratio"))


def _overall(metric: str, found: Sequence[Group]) -> Group:
    def median(name: str) -> float | None:
        values = [getattr(group, name) for group in found if getattr(group, name) is not None]
        return float(np.median(values)) if values else None

    return Group(
        group=OVERALL,
        metric=metric,
        num_points=sum(group.num_points for group in found),
        num_refused=sum(group.num_refused for group in found),
        **{name: median(name) for name in _RATIOS},
    )
