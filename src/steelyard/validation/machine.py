"""What engines make of the machine at hand: a few corrections fitted to probes of it, none of which is predicted."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import partial
from typing import Any

import numpy as np

from steelyard import arch, device
from steelyard.compare.measured import machine_record, predicted_training
from steelyard.inference.deployment import Deployment
from steelyard.inference.engine import IN_ENGINE, Engine, engine_for, outside_s
from steelyard.inference.memory import replica_weight_bytes
from steelyard.inference.step import time_step
from steelyard.inference.work import step_work
from steelyard.records.trial import Probe, ServingTrial, TrainingTrial
from steelyard.training import Memory, Step
from steelyard.training.calibration import Parameters, shipped
from steelyard.validation.fit import Fitted, Parameter, fit
from steelyard.validation.points import Vector

SOURCE = "steelyard-measure-machine"
_LOG_SCALE = 0.1
_TRAINING = (
    Parameter(name="gemm_time_ratio", value=1.2, log_sd_ratio=0.5),
    Parameter(name="elementwise_time_ratio", value=2.0, log_sd_ratio=1.0),
    Parameter(name="step_overhead_s", value=5e-3, log_sd_ratio=1.0),
)
_SERVING = (
    Parameter(name="matmul_ratio", value=0.5, log_sd_ratio=0.7, low=0.01, high=1.0),
    Parameter(name="matmul_pad_count", value=8.0, log_sd_ratio=1.0, low=0.01, high=64.0),
    Parameter(name="dot_product_ratio", value=0.2, log_sd_ratio=1.5, low=0.01, high=1.0),
    Parameter(name="memory_ratio", value=0.9, log_sd_ratio=0.2, low=0.1, high=1.0),
    Parameter(name="attention_ratio", value=0.15, log_sd_ratio=0.7, low=0.005, high=1.0),
    Parameter(name="kernel_launch_s", value=5e-7, log_sd_ratio=1.0),
    Parameter(name="step_overhead_s", value=5e-4, log_sd_ratio=1.5),
    Parameter(name="sequence_overhead_s", value=1e-4, log_sd_ratio=1.5),
    Parameter(name="prompt_overhead_s", value=1e-3, log_sd_ratio=1.5),
    Parameter(name="request_overhead_s", value=3e-3, log_sd_ratio=1.0),
)
_OF_DEVICE = (
    "matmul_ratio", "matmul_pad_count", "dot_product_ratio", "memory_ratio", "attention_ratio", "kernel_launch_s",
)  # fmt: skip
_AT_MOST_1 = ("matmul_ratio", "dot_product_ratio", "memory_ratio", "attention_ratio")
# The rates are those of this very library, at the clocks of long work, on one machine; the cores that compute reduce
# the gradients too.
_ALIKE = {
    "untuned_time_ratio": 1.0, "ragged_time_ratio": 1.0, "eager_time_ratio": 1.0, "older_attention_time_ratio": 1.0,
    "throttle_exponent_ratio": 0.0, "straggler_ratio": 0.0, "dp_overlap_ratio": 0.0,
}  # fmt: skip
_SERVED = Deployment(weight_dtype="fp16", kv_dtype="fp16", compute_dtype="fp16")  # as probes are
# The cores that compute send the tokens too: a server's work for them is part of the step, not beside it.
_PLAIN = {"time_ratio": 1.0, "vendor_time_ratio": 1.0, "admission_steps": 0.0, "stream_token_s": 0.0}


@dataclass(frozen=True, slots=True)
class _Fit:
    """What was fitted for one record of the machine."""

    record: str
    found: Fitted
    alike: Mapping[str, float]  # what stands beside it, unfitted


def machine_calibration(probes: Sequence[Probe], day: date) -> dict[str, str]:
    """Return `calibration/training.toml` and `calibration/inference.toml` for the records of this machine.

    The records of its kernels (`this-machine` and its parts) must be in the catalogue. For each of them the few
    corrections that PyTorch and llama.cpp need beyond kernels are fitted to the probes that ran so.

    Args:
        probes: Of several shapes.
        day: When they were measured.
    """
    runs: dict[str, list[tuple[arch.Model, TrainingTrial]]] = {}
    loads: dict[str, list[tuple[arch.Model, ServingTrial]]] = {}
    programs_bytes: list[float] = []
    for probe in probes:
        model = arch.from_config(probe.config, id="probe")
        if probe.serving_bytes is not None:
            programs_bytes.append(probe.serving_bytes - float(np.max(replica_weight_bytes(model, _SERVED))))
        for run in probe.training:
            record = machine_record(processes=run.ranks * run.together, threads=run.threads)
            runs.setdefault(record or "", []).append((model, run))
        for load in probe.serving:
            record = machine_record(processes=load.replicas, threads=load.threads)
            loads.setdefault(record or "", []).append((model, load))
    served = {record: _fit_serving(record, found) for record, found in loads.items() if record}
    if programs_bytes:
        held = {"framework_bytes": max(float(np.median(programs_bytes)), 0.0)}
        served = {record: dataclasses.replace(one, alike={**one.alike, **held}) for record, one in served.items()}
    if "this-machine-core" in served:  # one replica has one thread in a probe: more of them share the work the same way
        served.setdefault("this-machine", dataclasses.replace(served["this-machine-core"], record="this-machine"))
    return {
        "calibration/training.toml": _file(
            [_fit_training(record, found) for record, found in runs.items() if record], day
        ),
        "calibration/inference.toml": _file(list(served.values()), day),
    }


def _fit_training(record: str, runs: Sequence[tuple[arch.Model, TrainingTrial]]) -> _Fit:
    usual = dataclasses.replace(shipped(device.load(record).accelerator), **_ALIKE)

    def predict(values: Mapping[str, float]) -> Vector:
        # Attention is products and traffic like the others: too small a part of the probes for a ratio of its own.
        tried = dataclasses.replace(usual, **values, attention_time_ratio=values["gemm_time_ratio"])
        return np.log([_step_s(record, model, run, tried) for model, run in runs])

    found = fit(predict, _TRAINING, np.log([run.step_s for _, run in runs]), np.ones(len(runs)), log_scale=_LOG_SCALE)
    beside = {
        "attention_time_ratio": found.values["gemm_time_ratio"],
        "overhead_bytes": max(float(np.median([_programs_bytes(record, model, run) for model, run in runs])), 0.0),
    }
    return _Fit(record, found, _ALIKE | beside)


def _step_s(record: str, model: arch.Model, run: TrainingTrial, parameters: Parameters) -> float:
    step, _ = _predicted(record, model, run, parameters)
    return float(np.median(step.step_s))


def _programs_bytes(record: str, model: arch.Model, run: TrainingTrial) -> float:
    """Return what a run held beside what is counted: the programs themselves."""
    _, counted = _predicted(record, model, run)
    return run.peak_memory_bytes - float(np.max(counted.total_bytes - counted.overhead_bytes))


def _predicted(
    record: str, model: arch.Model, run: TrainingTrial, parameters: Parameters | None = None
) -> tuple[Step, Memory]:
    return predicted_training(
        model, record, ranks=run.ranks, sequence_tokens=run.sequence_tokens, batch=run.batch,
        micro_batch=run.micro_batch, dtype=run.dtype, parameters=parameters,
    )  # fmt: skip


def _fit_serving(record: str, loads: Sequence[tuple[arch.Model, ServingTrial]]) -> _Fit:
    on = device.expanding_where_faster(device.load(record))
    plain: dict[str, Any] = {name: value for name, value in _PLAIN.items() if name != "vendor_time_ratio"}
    engine = dataclasses.replace(engine_for(on, "llama.cpp"), **plain)
    points: list[tuple[Callable[[device.Device, Engine], float], float]] = []
    for model, load in loads:
        points += _points(model, load)

    def predict(values: Mapping[str, float]) -> Vector:
        reached = dataclasses.replace(on.efficiency, **{name: values[name] for name in _OF_DEVICE})
        tried = dataclasses.replace(on, efficiency=reached)
        overheads: dict[str, Any] = {name: value for name, value in values.items() if name not in _OF_DEVICE}
        with_overheads = dataclasses.replace(engine, **overheads)
        return np.log([seconds(tried, with_overheads) for seconds, _ in points])

    measured = np.log([seen for _, seen in points])
    found = fit(predict, _SERVING, measured, np.ones(len(points)), log_scale=_LOG_SCALE)
    kernels = {name: float(getattr(on.efficiency, name)) for name in IN_ENGINE if name not in _OF_DEVICE}
    return _Fit(record, found, _PLAIN | kernels)


def _points(model: arch.Model, load: ServingTrial) -> list[tuple[Callable[[device.Device, Engine], float], float]]:
    """Return what a load tells: for one user TTFT and TPOT, for more how long a request holds its place."""
    users = min(load.users / load.replicas, load.slots)
    seen = load.metrics
    if users <= 1:
        return [
            (partial(_first_token_s, model, load), seen.ttft.mean_s),
            (partial(_decode_s, model, load, 1.0), seen.tpot.mean_s),
        ]
    held_s = users * load.replicas / seen.request_rate_per_s  # Little's law
    return [(partial(_cycle_s, model, load, users), held_s)]


def _first_token_s(model: arch.Model, load: ServingTrial, on: device.Device, engine: Engine) -> float:
    return float(outside_s(engine, load.isl_tokens)) + _time_s(model, on, engine, 0.0, load, prompts=1.0)


def _decode_s(model: arch.Model, load: ServingTrial, users: float, on: device.Device, engine: Engine) -> float:
    return _time_s(model, on, engine, users, load, prompts=0.0)


def _cycle_s(model: arch.Model, load: ServingTrial, users: float, on: device.Device, engine: Engine) -> float:
    """Return the time of a request among `users`: its own decoding steps, and the prompts of all."""
    step_s = _decode_s(model, load, users, on, engine)
    prompt_s = _time_s(model, on, engine, users, load, prompts=1.0) - step_s
    return float(outside_s(engine, load.isl_tokens)) + load.osl_tokens * step_s + users * prompt_s


def _time_s(
    model: arch.Model, on: device.Device, engine: Engine, users: float, load: ServingTrial, *, prompts: float
) -> float:
    work = step_work(
        model, _SERVED, decode_sequences=users,
        context_tokens=load.isl_tokens + load.osl_tokens / 2, prefill_tokens=prompts * load.isl_tokens,
    )  # fmt: skip
    return float(np.max(time_step(work, device.reading_again(on, work.weight_bytes), engine).total_s))


def _file(fits: Sequence[_Fit], day: date) -> str:
    lines = [f'[defaults]\nsource = "{SOURCE}"\nas_of = {day}\nbasis = "measured"\n\n[figures]']
    for one in fits:
        for name, value in one.found.values.items():
            spread = float(np.exp(min(one.found.log_errors[name], 2.0)))
            note = f"fitted to probes; standard error {min(one.found.log_errors[name], 9.99):.0%}"
            high = min(value * spread, 1.0) if name in _AT_MOST_1 else value * spread
            lines.append(_line(f"{name}.{one.record}", value, low=value / spread, high=max(high, value), note=note))
        lines += [_line(f"{name}.{one.record}", value) for name, value in one.alike.items()]
    return "\n".join(lines) + "\n"


def _line(name: str, value: float, **more: float | str) -> str:
    """Return a figure as an inline table of TOML."""
    quantity = name.partition(".")[0]
    unit = "s" if quantity.endswith("_s") else "B" if quantity.endswith("_bytes") else "1"
    parts: dict[str, float | str] = {"value": value, "unit": unit}
    inside = ", ".join(
        f"{key} = {json.dumps(float(f'{held:.4g}') if isinstance(held, float) else held)}"
        for key, held in (parts | more).items()
    )
    return f'"{name}" = {{ {inside} }}'
