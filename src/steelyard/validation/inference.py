"""Serving predictions against published measurements: what is fitted, how honestly it is judged, what came out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from steelyard import catalog
from steelyard.validation.errors import Group, Predicted, groups
from steelyard.validation.fit import Fitted, Parameter, fit, robust_log_sigma
from steelyard.validation.inference_baselines import baselines
from steelyard.validation.inference_points import Measured, read
from steelyard.validation.inference_predict import Serving, serving
from steelyard.validation.points import Point, Refusal, Row, Vector
from steelyard.validation.result import Validation

METRICS = ("throughput", "tpot", "ttft", "energy", "e2e", "prefill", "ttft_p99")
_SAME = {"itl": "tpot"}  # one row states the one, one the other; both are seconds per output token
FITTED = {"throughput": 1.0, "tpot": 1.0, "ttft": 0.5, "power": 0.5}
"""Metrics that the fit looks at, and how much each counts."""

EVIDENCE_ROWS = 4.0
"""What a family counts in the fit, as independent measurements: its rows are variations of few set-ups."""

LOG_SCALE = 0.15
_Z90 = 1.2815515655446004
_ENOUGH_ROWS = 5
_UNSEEN_LOG_SD = 0.5  # of the time on devices of a vendor that nothing was fitted to

_SPEC: tuple[tuple[str, float, float, float, float], ...] = (  # name, value, spread of its logarithm, bounds
    ("time_ratio", 1.0, 0.1, 1e-9, 1e3),
    ("time_ratio.vllm", 1.0, 0.1, 1e-9, 1e3),
    ("time_ratio.sglang", 1.0, 0.1, 1e-9, 1e3),
    ("time_ratio.tensorrt-llm", 1.0, 0.1, 1e-9, 1e3),
    ("vendor_time_ratio.amd", 1.3, 0.3, 1e-9, 1e3),
    ("step_overhead_s", 1e-3, 0.7, 1e-9, 1e3),
    ("step_overhead_s.vllm-v0", 3.0, 0.7, 1e-9, 1e3),
    ("sequence_overhead_s", 1e-5, 0.7, 1e-9, 1e3),
    ("sequence_overhead_s.vllm", 1.0, 0.5, 1e-9, 1e3),
    ("sequence_overhead_s.sglang", 1.0, 0.5, 1e-9, 1e3),
    ("sequence_overhead_s.tensorrt-llm", 1.0, 0.5, 1e-9, 1e3),
    ("stream_token_s", 4e-5, 0.5, 1e-9, 1e3),
    ("prompt_overhead_s", 2e-3, 0.7, 1e-9, 1e3),
    ("request_overhead_s", 0.03, 0.7, 1e-9, 1e3),
    ("request_overhead_s.vllm", 1.0, 0.4, 1e-9, 1e3),
    ("request_overhead_s.sglang", 1.0, 0.4, 1e-9, 1e3),
    ("request_overhead_s.tensorrt-llm", 1.0, 0.4, 1e-9, 1e3),
    ("admission_steps", 0.7, 0.7, 0.5, 1e3),
    ("admission_steps.vllm", 1.0, 0.5, 0.5, 1e3),
    ("admission_steps.sglang", 1.0, 0.7, 0.5, 1e3),
    ("admission_steps.tensorrt-llm", 1.0, 0.5, 0.5, 1e3),
    ("expert_skew_ratio", 0.7, 0.7, 1e-9, 1e3),
    ("grouped_matmul_ratio", 0.8, 0.4, 1e-9, 1.3),
    ("grouped_memory_ratio", 0.9, 0.3, 1e-9, 1.15),
    ("expanded_ratio", 0.8, 0.3, 1e-9, 1.2),
    ("kernel_launch_s", 4.5e-6, 0.4, 1e-9, 1e3),
    ("fused_latency_s", 3e-6, 0.4, 1e-9, 1e3),
    ("cache_memory_ratio", 0.726, 0.15, 1e-9, 0.95),
    ("active_power_ratio", 0.6, 0.2, 1e-9, 1e3),
    ("compute_power_ratio", 0.9, 0.4, 1e-9, 1e3),
)
PARAMETERS = tuple(
    Parameter(name=name, value=value, log_sd_ratio=spread, low=low, high=high)
    for name, value, spread, low, high in _SPEC
)
"""What the fit may change, around what is known before: kernels timed alone, and how engines are built."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Left:
    """Predictions by fits that did not see what they predict [N], their spread, and the fit to everything."""

    predicted: Vector
    log_sigma: Vector
    whole: Fitted
    without: Mapping[str, Fitted]


def parameters() -> tuple[Parameter, ...]:
    """Return what the fit may change, with what is known before."""
    return PARAMETERS


def prepare(rows: Sequence[Row] | None = None) -> Serving:
    """Return the shipped rows, or others of the same columns, ready to be predicted."""
    return serving(read(catalog.published("inference").rows if rows is None else rows))


def calibrate(prepared: Serving) -> Fitted:
    """Return the parameters fitted to all points."""
    used = np.isin(_labels(prepared)[0], list(FITTED))
    return _fit(prepared, used)


def leave_out(prepared: Serving) -> Left:
    """Return predictions of every family by a fit without it; of energy, by fits without its model and its device."""
    whole = calibrate(prepared)
    families = np.array([point.family for point in prepared.measured.points])
    predicted = np.full(len(families), np.nan)
    without = {}
    metric, _ = _labels(prepared)
    for name in np.unique(families):
        found = _fit(prepared, families != name) if np.any(families != name) else None
        values = found.values if found else {p.name: p.value for p in PARAMETERS}
        without[str(name)] = found or Fitted(values=values, log_errors={}, num_evaluations=0)
        predicted[families == name] = prepared.predict(values)[families == name]
    energy = np.flatnonzero(metric == "power")
    for own, seen in _model_and_device_folds(prepared, energy):
        values = _fit(prepared, seen, start=whole).values
        predicted[own] = prepared.predict(values)[own]
    return Left(predicted=predicted, log_sigma=_sigma(prepared, predicted, families), whole=whole, without=without)


def _labels(prepared: Serving) -> tuple[Vector, Vector]:
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


def _fit(prepared: Serving, seen: Vector, *, start: Fitted | None = None) -> Fitted:
    """Return the parameters fitted to the points `seen`."""
    metric, value = _labels(prepared)
    families = np.array([point.family for point in prepared.measured.points])
    power = metric == "power"
    log_measured = np.log(value)
    log_measured[power] += np.log(_speed_of_run(prepared, value))[power]
    weights = _weights(metric, families, np.asarray(seen, bool) & np.isfinite(log_measured))
    log_measured = np.where(np.isfinite(log_measured), log_measured, 0.0)

    def predict(values: Mapping[str, float]) -> Vector:
        found = np.log(np.maximum(prepared.predict(values), 1e-300))
        speed = np.log(np.maximum(_speed_of_run(prepared, np.exp(found)), 1e-300))
        return np.nan_to_num(np.where(power, found + speed, found))

    return fit(
        predict, PARAMETERS, log_measured, weights, log_scale=LOG_SCALE, start=start.values if start else None
    )


def _weights(metric: Vector, families: Vector, seen: Vector) -> Vector:
    """Return the weights of points: every family counts `EVIDENCE_ROWS` for a metric, fewer than 30 rows less."""
    weights = np.zeros(len(metric))
    for name, share in FITTED.items():
        for family in np.unique(families[seen & (metric == name)]):
            here = seen & (metric == name) & (families == family)
            weights[here] = share * EVIDENCE_ROWS * min(1.0, here.sum() / 30.0) ** 0.5 / here.sum()
    return weights


def _model_and_device_folds(prepared: Serving, energy: Vector) -> list[tuple[Vector, Vector]]:
    """Return (points of energy to predict, points a fit may see): neither their models nor their device."""
    runs, run_of = prepared.measured.runs, prepared.facts.run_of
    models = np.array([runs[run].model.id for run in run_of])
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

    Dense models and mixtures of experts have spreads of their own, and so has every metric. Devices of a vendor that
    no other family measures have the spread of those that are, and on top that of the vendor's parameter.
    """
    metric, value = _labels(prepared)
    runs = prepared.facts.run_of
    kinds = np.where(prepared.facts.moe[runs], "moe", "dense")
    vendors = prepared.facts.vendors[runs]
    miss = np.log(np.maximum(value, 1e-300)) - np.log(np.maximum(predicted, 1e-300))
    sigma = np.full(len(value), np.nan)
    for name in np.unique(metric):
        for family in np.unique(families[metric == name]):
            here = (metric == name) & (families == family)
            for kind in np.unique(kinds[here]):
                for vendor in np.unique(vendors[here]):
                    own = here & (kinds == kind) & (vendors == vendor)
                    others = (metric == name) & (families != family)
                    alike = others & (kinds == kind) & (vendors == vendor)
                    told = _spread(miss, families, alike)
                    unseen = _UNSEEN_LOG_SD if told is None and np.any(others) else 0.0
                    for wider in (others & (kinds == kind), others, metric == name):
                        told = _spread(miss, families, wider) if told is None else told
                    sigma[own] = np.hypot(told or 0.0, unseen)
    return sigma


def _spread(miss: Vector, families: Vector, rows: Vector) -> float | None:
    """Return the middle of the families' spreads, each counting the root of its rows; None for too few rows."""
    counts, spreads = [], []
    for family in np.unique(families[rows]):
        own = rows & (families == family)
        if own.sum() >= _ENOUGH_ROWS:
            counts.append(own.sum() ** 0.5)
            spreads.append(robust_log_sigma(miss[own], np.ones(own.sum())))
    if not spreads:
        return None
    order = np.argsort(spreads)
    share = np.cumsum(np.array(counts)[order]) / np.sum(counts)
    return float(np.array(spreads)[order][np.searchsorted(share, 0.5)])
