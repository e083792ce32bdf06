"""Validation and calibration of serving: every family of sources left out in turn, and the fit to all."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from steelyard import catalog
from steelyard.inference import time_residual_sigma
from steelyard.inference.residuals import is_fitted, unseen_engine_sigma
from steelyard.validation.errors import OVERALL, Group, Predicted, groups, groups_by_metric
from steelyard.validation.inference.baselines import baselines
from steelyard.validation.inference.folds import (
    STEP_TIME,
    WAITS,
    Left,
    labels,
    leave_out,
    residual_of,
    sigma_name,
    spreads_of_kinds,
)
from steelyard.validation.inference.order import ordering
from steelyard.validation.inference.points import Measured, assumed_columns, read
from steelyard.validation.inference.predict import Serving, serving
from steelyard.validation.points import Point, Vector
from steelyard.validation.result import Calibration, Fit, Validation

METRICS = ("throughput", "tpot", "ttft", "energy", "e2e", "prefill", "ttft_p99")
LEFT_OUT = "every family of sources predicted by a fit that never saw it; energy without its model and its device too"
SHIPPED = "predicted with the parameters of the calibration"


def validate(data: Path | None = None, *, refit: bool = True) -> Validation:
    """Return how far predictions of serving miss published measurements.

    Args:
        data: A CSV file of the columns of `published/inference.csv`; the shipped rows when None.
        refit: Leave every family of the shipped rows out in turn (minutes); False predicts them with the shipped
            parameters, which have seen them. Own rows are always predicted with the parameters at hand.

    Raises:
        InputError: The file is not such a table.
    """
    if data is None:
        prepared = serving(_published())
        if refit:
            return _result(prepared, _left_out(prepared), LEFT_OUT)
        return _result(prepared, _shipped(prepared), SHIPPED)
    table = catalog.read_published(data, "inference")
    measured = read(table.rows)
    warnings = (*table.warnings, *_told(measured))
    if not measured.points:
        return Validation(
            kind="inference",
            basis=SHIPPED,
            groups=groups_by_metric((), Predicted.joined([]), measured.refusals, METRICS),
            points=(),
            predicted=Predicted.joined([]),
            refusals=measured.refusals,
            warnings=warnings,
        )
    prepared = serving(measured)
    return _result(prepared, _shipped(prepared, _published()), SHIPPED, warnings)


def calibrate() -> Calibration:
    """Return the parameters fitted to all shipped rows: standard errors, spread over families left out, misses."""
    prepared = serving(_published())
    left = leave_out(prepared)
    found = _result(prepared, _from_left(prepared, left), LEFT_OUT)
    return Calibration(
        kind="inference",
        fits=(Fit.of(left.whole, list(left.without.values())),),
        residual_sigmas=spreads_of_kinds(prepared, left.predicted),
        groups=tuple(group for group in found.groups if ":" not in group.group),
    )


def _published() -> Measured:
    return read(catalog.published("inference").rows)


def _told(measured: Measured) -> tuple[str, ...]:
    return tuple(
        f"{column} is not stated for {count} rows: taken as usual for the model and the engine"
        for column, count in assumed_columns(measured).items()
    )


def _left_out(prepared: Serving) -> Predicted:
    return _from_left(prepared, leave_out(prepared))


def _from_left(prepared: Serving, left: Left) -> Predicted:
    return Predicted.around(left.predicted, left.log_sigma, _rules(prepared, None))


def _shipped(prepared: Serving, known: Measured | None = None) -> Predicted:
    """Predict with the parameters at hand; simple rules learn from the `known` rows of other families too."""
    figures = catalog.calibration("inference")
    metric, _ = labels(prepared)
    runs = prepared.facts.run_of
    times = np.array([time_residual_sigma(run.model, run.device, run.engine.kernels) for run in prepared.measured.runs])
    sigma = times[runs]
    for point, (name, moe) in enumerate(zip(metric, prepared.facts.moe[runs], strict=True)):
        if residual_of(name) != STEP_TIME:
            sigma[point] = figures[sigma_name(name, moe=bool(moe))].value
    prompts = metric == "prefill"
    strange = [0.0 if is_fitted(run.engine.kernels) else unseen_engine_sigma() for run in prepared.measured.runs]
    sigma[prompts] = np.hypot(sigma[prompts], np.array(strange)[runs[prompts]])
    waits = np.isin(metric, WAITS)
    sigma[waits] = prepared.ttft_sigma({}, times)[runs[waits]]
    return Predicted.around(prepared.predict({}), sigma, _rules(prepared, known))


def _rules(prepared: Serving, known: Measured | None) -> Mapping[str, Vector]:
    """Return both baselines of the points, learnt from them and from the known ones."""
    count = len(prepared.measured.points)
    both = prepared if known is None else serving(_joined(prepared.measured, known))
    value = np.array([point.value for point in both.measured.points])
    return {name: guess[:count] for name, guess in baselines(both, value).items()}


def _joined(own: Measured, known: Measured) -> Measured:
    return Measured(
        runs=(*own.runs, *known.runs),
        points=(*own.points, *known.points),
        run_of=(*own.run_of, *(index + len(own.runs) for index in known.run_of)),
        refusals=own.refusals,
    )


def _result(prepared: Serving, predicted: Predicted, basis: str, warnings: tuple[str, ...] = ()) -> Validation:
    measured = prepared.measured
    points = tuple(dataclasses.replace(p, metric="tpot") if p.metric == "itl" else p for p in measured.points)
    refusals = tuple(dataclasses.replace(r, metric="tpot") if r.metric == "itl" else r for r in measured.refusals)
    short = int(np.sum(prepared.facts.places[prepared.facts.run_of] < 1.0))
    order = ordering(measured, predicted.p50)
    told = (f"{short} rows ran where by our count not one sequence fits: predicted with one",) if short else ()
    return Validation(
        kind="inference",
        basis=basis,
        groups=groups_by_metric(points, predicted, refusals, METRICS) + _more_groups(prepared, points, predicted),
        points=points,
        predicted=predicted,
        refusals=refusals,
        warnings=(*warnings, *told),
        ordering=order.to_dict() if order else None,
    )


def _more_groups(prepared: Serving, points: Sequence[Point], predicted: Predicted) -> tuple[Group, ...]:
    """Return the same errors by engine, by device and by kind of model, over all families together."""
    runs, run_of = prepared.measured.runs, prepared.facts.run_of
    found = []
    for name, labels_of in (
        ("engine", [runs[run].engine.name for run in run_of]),
        ("device", [runs[run].device.id for run in run_of]),
        ("model", ["mixture of experts" if prepared.facts.moe[run] else "dense" for run in run_of]),
    ):
        relabelled = [
            dataclasses.replace(point, family=f"{name}: {label}")
            for point, label in zip(points, labels_of, strict=True)
        ]
        for metric in METRICS[:4]:
            found += [g for g in groups(relabelled, predicted, [], metric=metric) if g.group != OVERALL]
    return tuple(found)
