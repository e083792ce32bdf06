"""One quantity, measured beside predicted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from steelyard.records.estimate import Estimate, estimate

Side = Literal["inference", "training"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One quantity of a factor, measured and predicted, in SI."""

    factor: str
    side: Side
    label: str
    unit: str
    measured: float | None
    predicted: Estimate | None = None
    note: str = ""

    @property
    def error_ratio(self) -> float | None:
        """Predicted (the middle) over measured, less 1; None where one of them is not there."""
        if self.predicted is None or not self.measured:
            return None
        return self.predicted.p50 / self.measured - 1.0

    def to_dict(self) -> dict[str, Any]:
        predicted = None if self.predicted is None else self.predicted.to_dict()
        return {
            "factor": self.factor, "side": self.side, "label": self.label, "unit": self.unit,
            "measured": self.measured, "predicted": predicted, "error_ratio": self.error_ratio, "note": self.note,
        }  # fmt: skip


def row(
    factor: str,
    side: Side,
    label: str,
    unit: str,
    measured: float | None,
    draws: npt.NDArray[np.float64] | None = None,
    *,
    note: str = "",
) -> Row:
    """Return a row from a measured value and the draws of a prediction [D]."""
    predicted = None if draws is None else estimate(draws)
    return Row(factor=factor, side=side, label=label, unit=unit, measured=measured, predicted=predicted, note=note)


def flat(draws: Any) -> npt.NDArray[np.float64]:
    """Return draws as one axis [D]."""
    return np.ravel(np.asarray(draws, dtype=np.float64))
