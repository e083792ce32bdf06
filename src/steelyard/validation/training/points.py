"""Published training rows as points: speed in tokens/s of one device, peak memory in bytes."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np

from steelyard import arch
from steelyard.arch import Model
from steelyard.device import Device, effective_compute_dtype, peak_flop_per_s
from steelyard.errors import InputError, UnknownError
from steelyard.training import Layout, Recipe
from steelyard.training.memory import memory_items
from steelyard.validation.models import model_of_row
from steelyard.validation.points import Point, Refusal, Row, by_run, check_links, family
from steelyard.validation.training.settings import PURE, UnstatedError, alternatives, device_of, number, unsure

SPEED, MEMORY, TIME_TO_TRAIN = "tokens_per_s_per_device", "peak_memory_bytes", "time_to_train_s"
METRICS = {  # as published -> metric; of the figures of one run the first stands for its speed
    "tokens_per_s_per_gpu": SPEED,
    "step_time_s": SPEED,
    "tflops_per_gpu": SPEED,
    "mfu_pct": SPEED,
    "peak_mem_gb": MEMORY,
    "time_to_train_h": TIME_TO_TRAIN,
    "gpu_hours": TIME_TO_TRAIN,
}
GIB = 2.0**30
HOUR = 3600.0
_HOURS = ("time_to_train_h", "gpu_hours")
READINGS = ("device", "reserved", "allocated")
"""What a peak of memory includes: all that `nvidia-smi` shows; what the allocator holds; what is in use."""

_PAGED: Mapping[str, Any] = {"state_offload_ratio": 1.0, "gradient_bytes": 0.0}
_STATES = ("weights", "gradients", "optimizer")
Options: TypeAlias = tuple[tuple[Layout, Recipe], ...]
_UNPREDICTED = {
    TIME_TO_TRAIN: "neither the tokens nor the steps of the whole job are stated (it ends at a target of quality)",
    MEMORY: "what it keeps in memory is a running list in its notes",
    SPEED: "its devices ran below their printed power, by how much is not stated",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One published run: what was run, every layout and recipe it can mean, and its measured points."""

    id: str
    model: Model
    device: Device
    seq_tokens: float
    alternatives: Options
    steps: int  # of the whole job, 0 where it does not state them
    reading: str  # what its peak memory is, one of `READINGS`
    points: tuple[Point, ...]


def runs(rows: Sequence[Row]) -> tuple[list[Run], list[Refusal]]:
    """Return the runs that can be predicted, and the figures that cannot, with the reason."""
    found: list[Run] = []
    refused: list[Refusal] = []
    for name, group in by_run(rows).items():
        chosen = _figures(group)
        try:
            run = _run(name, group[0], chosen)
        except (InputError, UnknownError) as error:
            refused += [_refusal(name, metric, row, str(error)) for metric, row in chosen.items()]
            continue
        refused += [
            _refusal(name, metric, row, _UNPREDICTED[metric])
            for metric, row in chosen.items()
            if all(point.metric != metric for point in run.points)
        ]
        if run.points:
            found.append(run)
    return found, refused


def _figures(group: Sequence[Row]) -> dict[str, Row]:
    """Return the row of each metric; of several that state the speed, the most direct one."""
    chosen: dict[str, Row] = {}
    for published, metric in METRICS.items():
        for row in group:
            if row["metric"] == published:
                chosen.setdefault(metric, row)
    for row in group:
        if row["metric"] not in METRICS:
            chosen[row["metric"]] = row
    return chosen


def _refusal(name: str, metric: str, row: Row, reason: str) -> Refusal:
    return Refusal(id=name, family=family("training", row), metric=metric, reason=reason)


def _run(name: str, row: Row, chosen: dict[str, Row]) -> Run:
    if reason := unsure(row):
        raise UnstatedError(reason)
    if unknown := [metric for metric in chosen if metric not in METRICS.values()]:
        raise UnstatedError(f"metric {unknown[0][:40]!r} is not one of {', '.join(METRICS)}")
    if not row["gpu"]:
        raise UnstatedError("the device is not stated")
    if not row["seq_len"]:
        raise UnstatedError("the sequence length is not stated")
    options = tuple(alternatives(row))
    device, model = device_of(row), _model(row)
    for _, recipe in options[:1]:
        effective_compute_dtype(device, recipe.compute_dtype)
    seq_tokens = float(number(row, "seq_len"))
    steps = number(row, "steps")
    check_links(device, max(float(np.max(layout.num_devices)) for layout, _ in options))
    options = _that_can_run(options, model, device, seq_tokens)
    points = tuple(
        Point(
            id=f"{name}-{metric}",
            family=family("training", found),
            metric=metric,
            value=_measured(found, model, device, options, seq_tokens),
            row=found,
        )
        for metric, found in chosen.items()
        if _is_predicted(metric, found, steps)
    )
    return Run(
        id=name, model=model, device=device, seq_tokens=seq_tokens, alternatives=options, points=points,
        steps=steps, reading=_reading(chosen.get(MEMORY)),
    )  # fmt: skip


def _is_predicted(metric: str, row: Row, steps: int) -> bool:
    """Return whether a figure says what a prediction of it needs; `_UNPREDICTED` has what it lacks otherwise."""
    return {
        TIME_TO_TRAIN: steps > 0,
        MEMORY: "cumulative" not in row["notes"],
        SPEED: "power-limited" not in row["notes"].casefold(),
    }[metric]


def _that_can_run(options: Options, model: Model, device: Device, seq_tokens: float) -> Options:
    """Return the options, with less in memory where weights, gradients and states alone overfill a single device.

    The run took place, so something that it does not state saved memory: weights in 16 bits without an fp32 copy, which
    PyTorch's optimizers keep states of the same format for; and if those are too large, states paged to the host and
    gradients used up as they are made, as software for a single device offers.
    """
    if any(layout.num_devices != 1 for layout, _ in options):
        return options
    for saved in ({}, PURE, _PAGED):
        tried = tuple((layout, dataclasses.replace(how, **saved)) for layout, how in options)
        if _least_states_bytes(tried, model, seq_tokens) <= device.accelerator.hbm_bytes:
            return tried
    return tried


def _least_states_bytes(options: Options, model: Model, seq_tokens: float) -> float:
    sizes = [memory_items(model, layout, how, seq_tokens=seq_tokens) for layout, how in options]
    return min(float(sum(np.asarray(size[f"{name}_bytes"]) for name in _STATES)) for size in sizes)


def _reading(row: Row | None) -> str:
    """Return what a peak of memory includes; everything where it is not stated."""
    stated = row.get("memory_reading", "") if row else ""
    if stated and stated not in READINGS:
        raise InputError(f"memory_reading is {stated[:40]!r}; allowed: {', '.join(READINGS)}")
    return stated or READINGS[0]


def _model(row: Row) -> Model:
    """Return the row's model; where only its parameters are stated, a dense one of the usual shape of so many.

    GPT-3's family, from 2.7 to 175 billion parameters, has about 128 columns a layer, and 12 layers x hidden^2
    parameters.
    """
    try:
        return model_of_row(row)
    except UnknownError:
        if row["hidden"] or row["experts"] or not row["n_params_b"]:
            raise
    hidden = max(round((float(row["n_params_b"]) * 1e9 / 12.0 * 128.0) ** (1.0 / 3.0) / 128.0), 1) * 128
    return model_of_row({**row, "model": "", "hidden": str(hidden)})


def _measured(
    row: Row, model: Model, device: Device, options: Sequence[tuple[Layout, Recipe]], seq_tokens: float
) -> float:
    value, layout = float(row["value"]), options[0][0]
    if row["metric"] == "peak_mem_gb":
        return value * GIB
    if row["metric"] in _HOURS:
        return value * HOUR / (float(np.asarray(layout.num_devices)) if row["metric"] == "gpu_hours" else 1.0)
    if row["metric"] == "tokens_per_s_per_gpu":
        return value
    if row["metric"] == "step_time_s":
        return float(layout.global_batch) * seq_tokens / (value * float(np.asarray(layout.num_devices)))
    flop = flop_per_token(row["flops_convention"], row, model, seq_tokens)
    if row["metric"] == "tflops_per_gpu":
        return value * 1e12 / flop
    return value / 100.0 * peak_flop_per_s(device, effective_compute_dtype(device, "bf16")) / flop


def flop_per_token(convention: str, row: Row, model: Model, seq_tokens: float) -> float:
    """Return the FLOP a source counts for a token, by its own convention [FLOP].

    Raises:
        InputError: The convention is not stated or not known, so that the figure cannot be turned into a speed.
    """
    text = convention.casefold()
    params = float(arch.count_params(model).total_params)
    if found := re.match(r"(?:bigscience old estimate: )?(\d)\*(?:2\*)?n\*tokens", text):
        return float(found[1]) * (2.0 if "*2*n" in text else 1.0) * params
    if "12*l*d*s" in text:
        return 6.0 * params + 12.0 * model.num_layers * model.hidden * seq_tokens
    if re.search(r"megatron|nvidia|maxtext", text):
        repeated = 4.0 / 3.0 if re.search(r"full recompute|recompute forward", text) else 1.0
        counted: Literal["causal", "full"] = "causal" if "attention halved" in text else "full"
        frozen = 2.0 / 3.0 if "frozen-weight" in text and "lora" in row["notes"].casefold() else 1.0
        return float(arch.flop_per_token(model, seq_tokens, training=True, attention=counted)) * repeated * frozen
    raise InputError("how its FLOP are counted is not stated")
