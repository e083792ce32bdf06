"""Training steps and peak memory against published runs: how far they miss, and the fit of the corrections."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from steelyard import catalog
from steelyard.training.calibration import parameter
from steelyard.validation.errors import Group, Predicted, groups
from steelyard.validation.folds import LeftOut, leave_family_out
from steelyard.validation.points import Point, Refusal, Vector
from steelyard.validation.result import Calibration, Fit, Validation
from steelyard.validation.training_baselines import baselines
from steelyard.validation.training_parameters import FAMILY_LOG_SD
from steelyard.validation.training_points import MEMORY, SPEED, Run, runs
from steelyard.validation.training_predict import shipped_parameters
from steelyard.validation.training_tasks import METRICS, Task, tasks

LEFT_OUT = "every family of sources predicted by a fit that never saw it"
SHIPPED = "predicted with the parameters of the calibration"
RESIDUALS = {SPEED: "step_time_residual_sigma", MEMORY: "memory_residual_sigma"}


def validate(data: Path | None = None, *, refit: bool = True) -> Validation:
    """Return how far predictions of training miss published measurements.

    Args:
        data: A CSV file of the columns of `published/training.csv`; the shipped points when None.
        refit: Leave every family of the shipped points out in turn (minutes); False predicts them with the shipped
            parameters, which have seen them. Own points are always predicted with the parameters at hand.

    Raises:
        InputError: The file is not such a table.
    """
    if data is None:
        found, refused = runs(catalog.published("training").rows)
        listed = tasks(found)
        made = [_left_out(task, found) if refit else _shipped(task, found) for task in listed]
        return _result(listed, made, refused, LEFT_OUT if refit else SHIPPED)
    table = catalog.read_published(data, "training")
    found, refused = runs(table.rows)
    known, _ = runs(catalog.published("training").rows)
    listed = tasks(found)
    made = [_shipped(task, found, known) for task in listed]
    return _result(listed, made, refused, SHIPPED, table.warnings)


def calibrate() -> Calibration:
    """Return the parameters fitted to all shipped points: standard errors, spread over families left out, misses."""
    found, _ = runs(catalog.published("training").rows)
    listed = tasks(found)
    outs = {task.metric: _fold(task) for task in listed}
    fits = [Fit.of(out.whole, list(out.without.values())) for out in outs.values()]
    return Calibration(
        kind="training",
        fits=tuple(fits),
        residual_sigmas={RESIDUALS[metric]: float(np.median(out.log_sigma)) for metric, out in outs.items()},
        groups=tuple(
            group for task in listed for group in _groups(task, _from_fold(task, found, outs[task.metric]), [])
        ),
    )


def _fold(task: Task) -> LeftOut:
    return leave_family_out(task.predict, task.free, task.log_measured, task.families, family_log_sd=FAMILY_LOG_SD)


def _left_out(task: Task, found: Sequence[Run]) -> Predicted:
    return _from_fold(task, found, _fold(task))


def _from_fold(task: Task, found: Sequence[Run], out: LeftOut) -> Predicted:
    ranges = np.empty((3, len(task.points)))
    for family, fitted in out.without.items():
        own = np.array(task.families) == family
        ranges[:, own] = task.quantiles(task.parameters(fitted.values), out.log_sigma)[:, own]
    return Predicted(p10=ranges[0], p50=ranges[1], p90=ranges[2], baselines=baselines(task, found))


def _shipped(task: Task, found: Sequence[Run], known: Sequence[Run] = ()) -> Predicted:
    """Predict with the parameters at hand; simple rules learn from the `known` runs of other families too."""
    sigma = np.full(len(task.points), parameter(RESIDUALS[task.metric]))
    low, middle, high = task.quantiles(shipped_parameters(task.everything.families), sigma)
    return Predicted(p10=low, p50=middle, p90=high, baselines=_against(task, found, known))


def _against(task: Task, found: Sequence[Run], known: Sequence[Run]) -> dict[str, Vector]:
    together = [*found, *known]
    same = next((one for one in tasks(together) if one.metric == task.metric), task) if known else task
    return {rule: guess[: len(task.points)] for rule, guess in baselines(same, together).items()}


def _groups(task: Task, predicted: Predicted, refused: Sequence[Refusal]) -> tuple[Group, ...]:
    return groups(task.points, predicted, refused, metric=task.metric)


def _result(
    listed: Sequence[Task],
    made: Sequence[Predicted],
    refused: Sequence[Refusal],
    basis: str,
    warnings: tuple[str, ...] = (),
) -> Validation:
    points: list[Point] = [point for task in listed for point in task.points]
    every = Predicted.joined(made)
    metrics = dict.fromkeys((*METRICS, *(refusal.metric for refusal in refused)))
    return Validation(
        kind="training",
        basis=basis,
        groups=tuple(group for metric in metrics for group in groups(points, every, refused, metric=metric)),
        points=tuple(points),
        predicted=every,
        refusals=tuple(refused),
        warnings=warnings,
    )
