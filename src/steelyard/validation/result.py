"""What a validation found: errors by family beside the baselines, every point, every refusal, the parameters."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from steelyard.validation.errors import Group, Predicted
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

    def to_dict(self) -> dict[str, Any]:
        """Return plain data: `groups` first, then every point and every refusal."""
        return {
            "kind": self.kind,
            "basis": self.basis,
            "groups": [group.to_dict() for group in self.groups],
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
