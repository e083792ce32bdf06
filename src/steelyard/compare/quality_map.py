"""From a predicted loss to a score: a monotone fit to the user's own points, with the range of its errors."""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from steelyard import training
from steelyard.errors import InputError
from steelyard.records.estimate import Estimate

LEAST_POINTS = 5  # so that leaving one out, and the two ends, leaves errors to judge by
MAX_POINTS = 10_000
_COLUMNS = "score, and loss or params and tokens"


@dataclass(frozen=True, slots=True, kw_only=True)
class LossMap:
    """Scores over losses, falling; the loss of the points is that of one law, as is the loss asked about."""

    law: str
    losses: npt.NDArray[np.float64]  # [P] rising
    scores: npt.NDArray[np.float64]  # [P] as measured
    name: str

    def score(self, loss_nats: float) -> Estimate | None:
        """Return the score at a loss, with the p10 and p90 of the fit's errors; None outside the points.

        The fit is the nearest one that never rises with the loss, straight between points. Its errors are those at
        each point but the ends when the fit has not seen it.

        Source:
            Barlow et al., "Statistical Inference under Order Restrictions", 1972 (isotonic regression).

        Example:
            >>> points = LossMap(law="besiroglu2024", losses=np.array([2.0, 2.2, 2.4, 2.6, 2.8]),
            ...                  scores=np.array([70.0, 60.0, 50.0, 40.0, 30.0]), name="exam")
            >>> f"{points.score(2.3).p50:.0f}", points.score(1.9)
            ('55', None)
        """
        if not self.losses[0] <= loss_nats <= self.losses[-1]:
            return None
        middle = _read(self.losses, self.scores, loss_nats)
        errors = [
            self.scores[i] - _read(np.delete(self.losses, i), np.delete(self.scores, i), self.losses[i])
            for i in range(1, len(self.losses) - 1)
        ]
        low, high = np.quantile(errors, [0.1, 0.9])
        return Estimate(p10=middle + min(float(low), 0.0), p50=middle, p90=middle + max(float(high), 0.0))


def _read(losses: npt.NDArray[np.float64], scores: npt.NDArray[np.float64], loss_nats: float) -> float:
    from scipy.optimize import isotonic_regression  # a fifth of a second, and few scenarios have a map

    return float(np.interp(loss_nats, losses, isotonic_regression(scores, increasing=False).x))


def load_loss_map(path: Path, law: str) -> LossMap:
    """Return the points of a CSV file: a score a row, with the model's loss or its parameters and training tokens.

    Raises:
        InputError: The file cannot be read, lacks a column, has too few points, or a cell that is not a number.
        UnknownError: No such law.
    """
    chosen = training.get_law(law)
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path}: cannot be read ({error}); allowed: a CSV file with {_COLUMNS}") from None
    if not LEAST_POINTS <= len(rows) <= MAX_POINTS:
        raise InputError(f"{path}: {len(rows)} points; allowed: {LEAST_POINTS} to {MAX_POINTS}, of different losses")
    points = sorted((_loss(path, number, row, chosen), _number(path, number, row, "score"))
                    for number, row in enumerate(rows, 2))  # fmt: skip
    losses = np.array([loss for loss, _ in points])
    if len(np.unique(losses)) < LEAST_POINTS:
        raise InputError(f"{path}: {len(np.unique(losses))} different losses; allowed: at least {LEAST_POINTS}")
    return LossMap(law=chosen.id, losses=losses, scores=np.array([score for _, score in points]), name=path.name)


def _loss(path: Path, number: int, row: Mapping[str, str | None], law: training.Law) -> float:
    if row.get("loss"):
        return _number(path, number, row, "loss")
    size = (_number(path, number, row, name) for name in ("params", "tokens"))
    return float(training.loss_nats_per_token(*size, law=law))


def _number(path: Path, number: int, row: Mapping[str, str | None], name: str) -> float:
    if name not in row:
        raise InputError(f"{path}: no column {name!r}; allowed: {_COLUMNS}")
    try:
        value = float(row[name] or "")
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise InputError(f"{path}, line {number}: {name} is {row[name]!r}; allowed: a number")
    return value
