"""Fits to published serving runs: to all, and to all but what is then predicted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from steelyard.inference.residuals import condition, unseen_engine_sigma, unseen_vendor_sigma
from steelyard.records.sweep import swept
from steelyard.validation.fit import Fitted, fit, robust_log_sigma
from steelyard.validation.inference.parameters import EVIDENCE_ROWS, FULL_EVIDENCE_ROWS, LOG_SCALE, PARAMETERS, WEIGHTS
from steelyard.validation.inference.predict import Serving
from steelyard.validation.points import Vector

Rows = npt.NDArray[Any]  # which points: positions or flags
_SAME = {"itl": "tpot"}  # a row states the one or the other; both are seconds per output token
_SPEED = ("throughput", "tpot")  # one and the same residual, of the time of a step
WAITS = ("ttft", "ttft_p99")  # their spread follows from that of steps, drawn through the load
_ENOUGH_ROWS = 5
_MANY_ROWS_RATIO = 0.01  # of all rows, from which on a family may pull the fit into a minimum of its own


@dataclass(frozen=True, slots=True, kw_only=True)
class Left:
    """Predictions by fits that did not see what they predict [N], their spread, and the fit to everything."""

    predicted: Vector
    log_sigma: Vector
    whole: Fitted
    without: Mapping[str, Fitted]


def leave_out(prepared: Serving) -> Left:
    """Return predictions of every family by a fit without it; of energy, by fits without its model and its device."""
    whole = _fit(prepared, np.ones(len(prepared.measured.points), bool))
    families = np.array([point.family for point in prepared.measured.points])
    predicted = np.full(len(families), np.nan)
    metric, _ = labels(prepared)
    names = [str(name) for name in np.unique(families)]
    fitted = swept(lambda name: _without(prepared, families, name, whole), names, processes=True)
    without = dict(zip(names, fitted, strict=True))
    for name, found in without.items():
        predicted[families == name] = prepared.predict(found.values)[families == name]
    folds = _model_and_device_folds(prepared, np.flatnonzero(metric == "power"))
    fits = swept(lambda fold: _fit(prepared, fold[1], start=whole), folds, processes=True)
    for (own, _), found in zip(folds, fits, strict=True):
        predicted[own] = prepared.predict(found.values)[own]
    sigma = _sigma(prepared, predicted, families)
    waits = np.isin(metric, WAITS)
    for name in np.unique(families[waits]):
        own = waits & (families == name)
        times = _time_sigma(prepared, predicted, families, str(name))
        sigma[own] = prepared.ttft_sigma(without[str(name)].values, times)[prepared.facts.run_of[own]]
    return Left(predicted=predicted, log_sigma=sigma, whole=whole, without=without)


def _without(prepared: Serving, families: Vector, name: str, whole: Fitted) -> Fitted:
    """Return a fit that has not seen a family. One of many rows is started from the priors, others from the whole fit.

    The minimum is the same; to find it from far takes minutes, and a family of few rows hardly moves it.
    """
    seen = families != name
    if not np.any(seen):
        return Fitted(values={p.name: p.value for p in PARAMETERS}, log_errors={})
    return _fit(prepared, seen, start=None if np.mean(seen) < 1.0 - _MANY_ROWS_RATIO else whole)


def labels(prepared: Serving) -> tuple[Vector, Vector]:
    """Return the metric that each point is fitted as, and its measured value [N]: energy is fitted as power.

    The power of a run is its energy per token times its measured tokens/s: how fast it is has a metric of its own.
    """
    points = prepared.measured.points
    metric = np.array([_SAME.get(point.metric, point.metric) for point in points], dtype="<U16")
    value = np.array([point.value for point in points])
    return np.where(metric == "energy", "power", metric), value


def _speed_of_run(prepared: Serving, values: Vector) -> Vector:
    """Return the throughput of each point's run, NaN where it was not measured [N]."""
    speed = np.full(len(prepared.measured.runs), np.nan)
    here = prepared.facts.metric == "throughput"
    speed[prepared.facts.run_of[here]] = values[here]
    return speed[prepared.facts.run_of]


def _fit(prepared: Serving, seen: Rows, *, start: Fitted | None = None) -> Fitted:
    """Return the parameters fitted to the points `seen`."""
    metric, value = labels(prepared)
    families = np.array([point.family for point in prepared.measured.points])
    power = metric == "power"
    log_measured = np.log(value)
    log_measured[power] += np.log(_speed_of_run(prepared, value))[power]
    weights = _weights(metric, families, seen & np.isfinite(log_measured))
    log_measured = np.where(np.isfinite(log_measured), log_measured, 0.0)

    def predict(values: Mapping[str, float]) -> Vector:
        found = np.log(np.maximum(prepared.predict(values), 1e-300))
        speed = np.log(np.maximum(_speed_of_run(prepared, np.exp(found)), 1e-300))
        return np.nan_to_num(np.where(power, found + speed, found))

    return fit(predict, PARAMETERS, log_measured, weights, log_scale=LOG_SCALE, start=start.values if start else None)


def _weights(metric: Vector, families: Vector, seen: Rows) -> Vector:
    """Return the weights of points: a family counts by the root of its rows of a metric, up to `EVIDENCE_ROWS`.

    Rows of one family are variations of few set-ups: beyond `FULL_EVIDENCE_ROWS` more of them tell nothing new.
    """
    weights = np.zeros(len(metric))
    for name, share in WEIGHTS.items():
        for family in np.unique(families[seen & (metric == name)]):
            here = seen & (metric == name) & (families == family)
            weights[here] = share * EVIDENCE_ROWS * min(1.0, here.sum() / FULL_EVIDENCE_ROWS) ** 0.5 / here.sum()
    return weights


def _model_and_device_folds(prepared: Serving, energy: Rows) -> list[tuple[Rows, Rows]]:
    """Return (points of energy to predict, points a fit may see): neither their models nor their device."""
    runs, run_of = prepared.measured.runs, prepared.facts.run_of
    points = prepared.measured.points  # in any number format a model is one model
    models = np.array([p.row.get("model_id") or runs[run].model.id for p, run in zip(points, run_of, strict=True)])
    devices = np.array([runs[run].device.id for run in run_of])
    folds = []
    for device in np.unique(devices[energy]):
        names = np.unique(models[energy][devices[energy] == device])
        for part in np.array_split(names, min(4, len(names))):
            own = energy[(devices[energy] == device) & np.isin(models[energy], part)]
            measured_here = np.isin(np.arange(len(models)), energy)
            seen = ~(np.isin(models, part) | (measured_here & (devices == device)))
            if np.any(seen & measured_here):
                folds.append((own, seen))
    return folds


def _sigma(prepared: Serving, predicted: Vector, families: Vector) -> Vector:
    """Return the spread of a prediction [N]: the middle of those that other families' misses have.

    Dense models and mixtures of experts have spreads of their own, and so has every metric and every condition (other
    vendors, other kernels); TPOT and throughput share one, of the time of a step. Devices of a vendor that no other
    family measures have the spread of those that are, and on top that of the vendor's parameter; engines likewise.
    """
    metric, value = labels(prepared)
    metric = np.where(np.isin(metric, _SPEED), "speed", metric)
    runs = prepared.facts.run_of
    kinds = np.where(prepared.facts.moe[runs], "moe", "dense")
    where = _conditions(prepared)[runs]
    vendors = prepared.facts.vendors[runs]
    miss = np.log(np.maximum(value, 1e-300)) - np.log(np.maximum(predicted, 1e-300))
    sigma = np.full(len(value), np.nan)
    for name in np.unique(metric):
        for family in np.unique(families[metric == name]):
            here = (metric == name) & (families == family)
            for kind in np.unique(kinds[here]):
                for place in np.unique(where[here]):
                    own = here & (kinds == kind) & (where == place)
                    others = (metric == name) & (families != family)
                    told = _spread(miss, families, others & (kinds == kind) & (where == place))
                    seen = not np.any(others) or np.any(np.isin(vendors[others], vendors[own]))
                    unseen = 0.0 if told is not None or seen else unseen_vendor_sigma()
                    for wider in (others & (kinds == kind), others, metric == name):
                        told = _spread(miss, families, wider) if told is None else told
                    sigma[own] = np.hypot(told or 0.0, unseen)
    engines = prepared.facts.engines[runs]
    for family in np.unique(families):
        others = engines[families != family]
        sigma = np.hypot(sigma, np.where(families == family, _unseen(engines, others, unseen_engine_sigma()), 0.0))
    return sigma


def _unseen(names: npt.NDArray[np.str_], others: npt.NDArray[np.str_], sigma: float) -> Vector:
    """Return the spread of what is in none of the other families, 0 for what is, and where there are no others."""
    return np.where(np.isin(names, others) | (len(others) == 0), 0.0, sigma)


def _time_sigma(prepared: Serving, predicted: Vector, families: Vector, family: str) -> Vector:
    """Return the spread of step times in a family's runs [R], as other families show it for their kind of model."""
    metric, value = labels(prepared)
    runs = prepared.facts.run_of
    moe, vendors, where = prepared.facts.moe, prepared.facts.vendors, _conditions(prepared)
    others = np.isin(metric, _SPEED) & (families != family)
    miss = np.log(np.maximum(value, 1e-300)) - np.log(np.maximum(predicted, 1e-300))
    sigma = np.zeros(len(moe))
    for kind in (False, True):
        for place in np.unique(where):
            alike = others & (moe[runs] == kind)
            told = _spread(miss, families, alike & (where[runs] == place))
            told = told or _spread(miss, families, alike) or _spread(miss, families, others)
            sigma[(moe == kind) & (where == place)] = told or 0.0
    engines, known = prepared.facts.engines, runs[others]
    for names, wider in ((vendors, unseen_vendor_sigma()), (engines, unseen_engine_sigma())):
        sigma = np.hypot(sigma, _unseen(names, names[known], wider))
    return sigma


def _conditions(prepared: Serving) -> npt.NDArray[np.str_]:
    """Return the condition of each run [R]."""
    facts = prepared.facts
    return np.array([condition(*pair) for pair in zip(facts.vendors.tolist(), facts.engines.tolist(), strict=True)])


def _spread(miss: Vector, families: Vector, rows: Rows) -> float | None:
    """Return the middle of the families' spreads; None where none has enough rows."""
    spreads = [
        robust_log_sigma(miss[own], np.ones(own.sum()))
        for family in np.unique(families[rows])
        for own in [rows & (families == family)]
        if own.sum() >= _ENOUGH_ROWS
    ]
    return float(np.median(spreads)) if spreads else None


STEP_TIME = "time"
SIGMAS = {STEP_TIME: _SPEED, "prefill": ("prefill",), "ttft": ("ttft",), "power": ("power",)}
"""Residuals that have a spread of their own, and the metrics that show it."""


def residual_of(metric: str) -> str:
    """Return the residual whose spread a metric has: that of the time of a step where it has none of its own.

    Example:
        >>> [residual_of(metric) for metric in ("tpot", "e2e", "prefill")]
        ['time', 'time', 'prefill']
    """
    return next((name for name, metrics in SIGMAS.items() if metric in metrics), STEP_TIME)


def sigma_name(metric: str, *, moe: bool | None = None, where: str = "") -> str:
    """Return the name of the figure with the spread of a metric, of one kind of model or of all, in a condition.

    Example:
        >>> sigma_name("tpot", moe=True), sigma_name("tpot", moe=False, where="amd"), sigma_name("ttft")
        ('moe_time_residual_sigma', 'dense_time_residual_sigma.amd', 'ttft_residual_sigma')
    """
    kind = "" if moe is None else "moe_" if moe else "dense_"
    return f"{kind}{residual_of(metric)}_residual_sigma" + (f".{where}" if where else "")


def spreads_of_kinds(prepared: Serving, predicted: Vector) -> Mapping[str, float]:
    """Return the spread of predictions of left-out families, by residual, kind of model, condition: figures to ship."""
    metric, value = labels(prepared)
    families = np.array([point.family for point in prepared.measured.points])
    moe = prepared.facts.moe[prepared.facts.run_of]
    miss = np.log(np.maximum(value, 1e-300)) - np.log(np.maximum(predicted, 1e-300))
    found: dict[str, float] = {}
    for metrics in SIGMAS.values():
        alike = np.isin(metric, metrics)
        for kind in (None, False, True):
            spread = _spread(miss, families, alike if kind is None else alike & (moe == kind))
            if spread is not None:
                found[sigma_name(metrics[0], moe=kind)] = spread
    speed, where = np.isin(metric, _SPEED), _conditions(prepared)[prepared.facts.run_of]
    for kind in (False, True):
        for place in np.unique(where):
            spread = _spread(miss, families, speed & (moe == kind) & (where == place))
            if spread is not None:  # of the usual condition, the general figure
                found[sigma_name("tpot", moe=kind, where=str(place))] = spread
    return found
