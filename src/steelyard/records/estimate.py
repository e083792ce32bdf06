"""A result with its range: read off draws, never computed with."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import NormalDist
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

Z90 = NormalDist().inv_cdf(0.9)
"""The standard normal's p90: low and high of a range are its p10 and p90, so many deviations from the middle."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """p10, p50 and p90 of a result. No arithmetic is defined on it: ranges come from evaluating draws."""

    p10: float
    p50: float
    p90: float

    def overlaps(self, other: Estimate) -> bool:
        """Tell whether the two 80% ranges share a value."""
        return self.p10 <= other.p90 and other.p10 <= self.p90

    def to_dict(self) -> dict[str, float]:
        return {"p10": self.p10, "p50": self.p50, "p90": self.p90}


def estimate(draws: npt.ArrayLike) -> Estimate:
    """Return p10, p50 and p90 over all elements of `draws` (linear interpolation; a scalar gives a zero-width range).

    Example:
        >>> estimate([1.0, 2.0, 3.0]).p50
        2.0
    """
    values: Any = np.asarray(draws, dtype=np.float64)
    # Nearest-rank keeps infinities (unlimited, never) out of interpolation, where they would become NaN.
    method: Literal["linear", "nearest"] = "linear" if np.isfinite(values).all() else "nearest"
    p10, p50, p90 = (float(value) for value in np.quantile(values, [0.1, 0.5, 0.9], method=method))
    return Estimate(p10=p10, p50=p50, p90=p90)


def estimates(draws: npt.NDArray[np.float64]) -> tuple[Estimate, ...]:
    """Return the estimate of each column of draws [D, M].

    Example:
        >>> [one.p50 for one in estimates(np.array([[1.0, 10.0], [2.0, 20.0], [3.0, 30.0]]))]
        [2.0, 20.0]
    """
    if not np.isfinite(draws).all():
        return tuple(estimate(column) for column in draws.T)
    columns = np.quantile(draws, [0.1, 0.5, 0.9], axis=0).T.tolist()
    return tuple(Estimate(p10=p10, p50=p50, p90=p90) for p10, p50, p90 in columns)
