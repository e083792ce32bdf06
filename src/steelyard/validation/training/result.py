"""Validation and calibration of training: every family of sources left out in turn, and the fit to all."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from steelyard import catalog
from steelyard.training.calibration import parameter
from steelyard.validation.errors import Group, Predicted, groups_by_metric, part
from steelyard.validation.folds import LeftOut, leave_family_out
from steelyard.validation.points import Point, Refusal, Vector
from steelyard.validation.result import Calibration, Fit, Validation
from steelyard.validation.training.baselines import baselines
from steelyard.validation.training.parameters import FAMILY_LOG_SD
from steelyard.validation.training.points import MEMORY, SPEED, TIME_TO_TRAIN, Run, runs
from steelyard.validation.training.predict import shipped_parameters
from steelyard.validation.training.settings import assumptions, states_everything
from steelyard.validation.training.tasks import FITTED, METRICS, Task, tasks

LEFT_OUT = "every family of sources predicted by a fit that never saw it"
SHIPPED = "predicted with the parameters of the calibration"
RESIDUALS = {
    SPEED: "step_time_residual_sigma",
    MEMORY: "memory_residual_sigma",
    TIME_TO_TRAIN: "step_time_residual_sigma",
}


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
        outs = _folds(listed) if refit else {}
        made = [_left_out(task, found, outs[task.metric]) if refit else _shipped(task, found) for task in listed]
        return _result(listed, made, refused, LEFT_OUT if refit else SHIPPED)
    table = catalog.read_published(data, "training")
    found, refused = runs(table.rows)
    known, _ = runs(catalog.published("training").rows)
    listed = tasks(found)
    made = [_shipped(task, found, known) for task in listed]
    return _result(listed, made, refused, SHIPPED, (*table.warnings, *_assumed(listed)))


def _assumed(listed: Sequence[Task]) -> list[str]:
    """Return what was read into rows that they do not state, with the number of figures."""
    counts = Counter(line for task in listed for point in task.points for line in assumptions(point.row))
    return [f"{count} figures {line}" for line, count in counts.items()]


def calibrate() -> Calibration:
    """Return the parameters fitted to all shipped points: standard errors, spread over families left out, misses."""
    found, refused = runs(catalog.published("training").rows)
    listed = tasks(found)
    outs = _folds(listed)
    fits = [Fit.of(outs[metric].whole, list(outs[metric].without.values())) for metric in FITTED]
    made = [_left_out(task, found, outs[task.metric]) for task in listed]
    result = _result(listed, made, refused, LEFT_OUT)
    return Calibration(
        kind="training",
        fits=tuple(fits),
        residual_sigmas={RESIDUALS[metric]: float(np.median(outs[metric].log_sigma)) for metric in FITTED},
        groups=(*result.groups, *result.parts),
    )


def _folds(listed: Sequence[Task]) -> dict[str, LeftOut]:
    """Return the fits without each family by metric; times of whole jobs follow from the fits to speed."""
    outs = {
        task.metric: leave_family_out(
            task.predict, task.free, task.log_measured, task.families, family_log_sd=FAMILY_LOG_SD
        )
        for task in listed
        if task.metric in FITTED
    }
    for task in listed:
        if task.metric not in FITTED:
            sigma = np.full(len(task.points), np.median(outs[SPEED].log_sigma))
            outs[task.metric] = replace(outs[SPEED], log_sigma=sigma)
    return outs


def _left_out(task: Task, found: Sequence[Run], out: LeftOut) -> Predicted:
    ranges = np.empty((3, len(task.points)))
    names = np.array(task.families)
    for family in np.unique(names):
        own = names == family
        fitted = out.without.get(str(family), out.whole)
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


def _result(
    listed: Sequence[Task],
    made: Sequence[Predicted],
    refused: Sequence[Refusal],
    basis: str,
    warnings: tuple[str, ...] = (),
) -> Validation:
    points: list[Point] = [point for task in listed for point in task.points]
    every = Predicted.joined(made)
    return Validation(
        kind="training",
        basis=basis,
        groups=groups_by_metric(points, every, refused, METRICS),
        points=tuple(points),
        predicted=every,
        refusals=tuple(refused),
        warnings=warnings,
        parts=_parts(points, every),
    )


def _parts(points: Sequence[Point], every: Predicted) -> tuple[Group, ...]:
    """Return the errors of peak memory where the row states everything, and where it leaves something open."""
    stated = np.array([states_everything(point.row) for point in points], bool)
    found = [part(name, points, every, chosen, metric=MEMORY) for name, chosen in (
        ("states-all", stated), ("states-less", ~stated)
    )]  # fmt: skip
    return tuple(one for one in found if one is not None)
