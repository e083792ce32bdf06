"""What a validation found: errors by family beside the baselines, every point, every refusal, the parameters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from steelyard.validation.errors import Group, Predicted
from steelyard.validation.fit import Fitted
from steelyard.validation.points import Point, Refusal


@dataclass(frozen=True, slots=True, kw_only=True)
class Validation:
    """Predictions against measurements of one kind ("training", "inference", "operators")."""

    kind: str
    basis: str  # how the parameters were found that predicted these points
    groups: tuple[Group, ...]
    points: tuple[Point, ...]
    predicted: Predicted
    refusals: tuple[Refusal, ...]
    warnings: tuple[str, ...] = ()
    ordering: Mapping[str, float] | None = None  # how often the better of two layouts was told
    parts: tuple[Group, ...] = ()  # some of the points of a metric, as the median over their families

    def to_dict(self) -> dict[str, Any]:
        """Return plain data: `groups` first, then every point and every refusal."""
        return {
            "kind": self.kind,
            "basis": self.basis,
            "groups": [group.to_dict() for group in self.groups],
            "ordering": dict(self.ordering) if self.ordering else None,
            "parts": [group.to_dict() for group in self.parts],
            "points": self._points(),
            "refused": [{"id": r.id, "group": r.family, "metric": r.metric, "reason": r.reason} for r in self.refusals],
        }

    def _points(self) -> Sequence[dict[str, Any]]:
        low, middle, high = self.predicted.p10, self.predicted.p50, self.predicted.p90
        return [
            {
                "id": point.id, "group": point.family, "metric": point.metric, "measured": point.value,
                "p10": float(low[i]), "p50": float(middle[i]), "p90": float(high[i]),
            }
            for i, point in enumerate(self.points)
        ]  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Fit:
    """Fitted parameters: value, standard error of its logarithm, least and largest value of fits without one family.

    A name with a dot is a factor of one group on the parameter before the dot; here it is multiplied out.
    """

    values: Mapping[str, float]
    log_errors: Mapping[str, float]
    spans: Mapping[str, tuple[float, float]]

    @classmethod
    def of(cls, whole: Fitted, without: Sequence[Fitted]) -> Fit:
        """Return a fit to all points, with the spread of those that left a family out."""

        def value(one: Fitted, name: str) -> float:
            parent = name.partition(".")[0]
            return one.values[name] * (one.values[parent] if parent != name else 1.0)

        names = list(whole.values)
        return cls(
            values={name: value(whole, name) for name in names},
            log_errors=dict(whole.log_errors),
            spans={
                name: (min(seen), max(seen))
                for name in names
                for seen in [[value(one, name) for one in (whole, *without)]]
            },
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """What a fit found, and how far predictions of left-out families missed."""

    kind: str
    fits: tuple[Fit, ...]
    residual_sigmas: Mapping[str, float]
    groups: tuple[Group, ...]

    @property
    def num_parameters(self) -> int:
        """Free parameters."""
        return sum(len(fit.values) for fit in self.fits)
