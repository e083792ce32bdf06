"""Published serving rows as runs: one deployment under one load, with everything that was measured of it."""

from __future__ import annotations

import dataclasses
import functools
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from steelyard import arch, catalog
from steelyard import device as _device
from steelyard.arch import dtype_bytes
from steelyard.device import Device
from steelyard.errors import DoesNotFitError, InputError, UnknownError
from steelyard.inference import Deployment
from steelyard.inference.engine import Engine, engine_for
from steelyard.inference.engine_rules import version_numbers
from steelyard.validation.inference.harness import Harness, Refused, harness_of
from steelyard.validation.inference.launches import Launch, launch_of
from steelyard.validation.models import model_of_row
from steelyard.validation.points import Point, Refusal, Row, check_links, family

MEASURES: Mapping[str, tuple[str, float]] = {  # metric of a row -> metric of the room, factor to SI
    "output_tokens_per_s_total": ("throughput", 1.0),
    "output_tokens_per_s_per_gpu": ("throughput", 1.0),
    "total_tokens_per_s": ("throughput", 1.0),
    "requests_per_s": ("throughput", 1.0),
    "decode_tokens_per_s": ("tpot", 1.0),
    "prefill_tokens_per_s": ("prefill", 1.0),
    "ttft_ms_p50": ("ttft", 1e-3),
    "ttft_ms_p99": ("ttft_p99", 1e-3),
    "tpot_ms": ("tpot", 1e-3),
    "itl_ms": ("itl", 1e-3),
    "e2e_s": ("e2e", 1.0),
    "energy_j_per_token": ("energy", 1.0),
    "energy_j_per_request": ("energy", 1.0),
}
_UNIT_NOTES = ("PER NODE", "PER GPU", "PER USER")
_FORMATS = {
    "bfloat16": "bf16", "float16": "fp16", "half": "fp16", "fp8_block": "fp8", "fp4": "nvfp4", "int4_wo": "int4",
    "awq": "int4", "gptq": "int4",
}  # fmt: skip
_LEAST_DECODED_TOKENS = 1.5  # of a mean answer, below which nearly all of it is its first token
_NUMBERS = {"fp8", "int8", "int4", "fp4", "mxfp4", "nvfp4"}
_NAMED = re.compile(r"nvfp4|mxfp4|fp8|int8|int4|awq|gptq|fp4", re.IGNORECASE)
_Known = TypeVar("_Known")


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One deployment under one load."""

    model: arch.Model
    device: Device
    deployment: Deployment
    engine: Engine
    isl_tokens: float
    osl_tokens: float
    load: float  # users, batch, requests or requests/s, by the kind of harness; 0 where nothing is stated
    harness: Harness
    family: str
    launch: Launch
    assumed: tuple[str, ...] = ()  # columns that are not stated


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """All runs of a table, its points, the run of each point, and what is not predicted."""

    runs: tuple[Run, ...]
    points: tuple[Point, ...]
    run_of: tuple[int, ...]
    refusals: tuple[Refusal, ...]


def read(rows: Iterable[Row]) -> Measured:
    """Return the runs and points of published rows; every row is a point or a refusal."""
    runs: dict[tuple[object, ...], int] = {}
    kept: list[Run] = []
    points: list[Point] = []
    run_of: list[int] = []
    refusals: list[Refusal] = []
    for number, row in enumerate(rows, start=1):
        name = row.get("id") or f"row {number}"
        metric, factor = MEASURES.get(row["metric"], (row["metric"], 1.0))
        origin = family("inference", row)
        try:
            run = read_run(row, origin)
            value = _si(row, run, factor)
        except (Refused, DoesNotFitError, InputError, UnknownError) as error:
            refusals.append(Refusal(id=name, family=origin, metric=metric, reason=str(error)))
            continue
        points.append(Point(id=name, family=origin, metric=metric, value=value, row=row))
        key = (
            run.model.id,
            run.device.id,
            run.deployment,
            run.engine,
            run.isl_tokens,
            run.osl_tokens,
            run.load,
            run.harness,
            run.launch,
            origin,
        )
        if key not in runs:
            runs[key] = len(kept)
            kept.append(run)
        run_of.append(runs[key])
    return Measured(runs=tuple(kept), points=tuple(points), run_of=tuple(run_of), refusals=tuple(refusals))


def _si(row: Row, run: Run, factor: float) -> float:
    """Return a row's value as the room counts it: of the whole deployment, per output token, in SI."""
    value = float(row["value"]) * factor
    name = row["metric"]
    if name == "output_tokens_per_s_per_gpu":
        value *= run.deployment.num_devices
    elif name == "total_tokens_per_s":
        value *= run.osl_tokens / (run.isl_tokens + run.osl_tokens)
    elif name == "requests_per_s":
        value *= run.osl_tokens
    elif name == "energy_j_per_request":
        value /= run.osl_tokens
    elif name == "decode_tokens_per_s":  # while answers come, prompts not counted
        if run.load != 1.0:
            raise Refused("decoding rate of many users: of one or of all is not clear")
        return 1.0 / value
    return value


def read_run(row: Row, origin: str = "") -> Run:
    """Return what was run.

    Raises:
        Refused: Something that a prediction needs is not stated or not known.
    """
    if row["metric"] not in MEASURES:
        raise Refused(f"metric {row['metric'][:40]!r} is not predicted")
    if any(words in row["notes"] for words in _UNIT_NOTES):
        raise Refused("counted per node, device or user of a larger deployment")
    if "speculative decoding" in row["notes"]:
        raise Refused("speculative decoding: how many tokens a step returns is not stated")
    device = _known(_load_device(row["device"] or row["gpu"]), row["device"] or row["gpu"], "device")
    model = _known(_model_as_stored(row), row["model_id"] or row["model"], "model")
    engine = _engine(device.id, row["engine"], row["engine_version"], row["as_of"][:7])
    harness = harness_of(row, static=engine.is_static)
    isl, osl = _number(row, "isl"), _number(row, "osl")
    if not isl:
        raise Refused("input length not stated")
    if not osl and row["metric"].startswith("ttft"):
        osl = 1.0
    if not osl:
        raise Refused("output length not stated")
    if osl < _LEAST_DECODED_TOKENS and MEASURES[row["metric"]][0] in ("tpot", "itl"):
        raise Refused("an answer of one token has no time between tokens")
    load = _number(row, "load_value")
    if not load and harness.kind != "all at once":
        raise Refused("load not stated")
    deployment, assumed = _deployment(row, model, harness, engine)
    check_links(device, deployment.num_devices)
    launch = launch_of(
        row, engine=engine.name, model_id=row["model_id"], device_id=device.id, weights=deployment.compute_dtype,
        tp=deployment.tp, load=load,
    )  # fmt: skip
    if launch.kv_dtype and "kv_dtype" in assumed:
        deployment = dataclasses.replace(deployment, kv_dtype=launch.kv_dtype)
    return Run(
        model=model,
        device=device,
        deployment=deployment,
        engine=_as_launched(engine, launch, harness),
        isl_tokens=max(isl * harness.length_mean_ratio, 1.0),
        osl_tokens=max(osl * harness.length_mean_ratio, 1.0),
        load=load,
        harness=harness,
        launch=launch,
        family=origin,
        assumed=assumed,
    )


def _as_launched(engine: Engine, launch: Launch, harness: Harness) -> Engine:
    """Return an engine with the settings of a run in place of its defaults."""
    engine = dataclasses.replace(
        engine,
        max_sequences=harness.max_sequences or launch.max_sequences or engine.max_sequences,
        chunk_tokens=harness.chunk_tokens or launch.chunk_tokens or engine.chunk_tokens,
        eager_steps=float(harness.eager or launch.eager or np.max(engine.eager_steps)),
        overlaps_steps=1.0 if launch.overlaps else engine.overlaps_steps,
    )
    if launch.memory_ratio and np.max(engine.free_memory_ratio) < 1.0:
        return dataclasses.replace(engine, free_memory_ratio=launch.memory_ratio)
    return dataclasses.replace(
        engine, gpu_memory_utilization_ratio=launch.memory_ratio or engine.gpu_memory_utilization_ratio
    )


@functools.lru_cache(maxsize=512)
def _load_device(name: str) -> Device | None:
    try:
        return _device.load(name)
    except (InputError, UnknownError):
        return None


@functools.lru_cache(maxsize=1024)
def _model(model_id: str, name: str) -> arch.Model | None:
    """Return the model as the row prints it, which says how its checkpoint is quantised, else as its id says."""
    for row in ({"model": name}, {"model_id": model_id, "model": name}):
        try:
            return model_of_row(row)
        except (InputError, UnknownError):
            continue
    return None


@functools.lru_cache(maxsize=1024)
def _engine(device: str, name: str, version: str, as_of: str) -> Engine:
    numbered = version if version_numbers(version) else ""  # "nightly" is as new as its date
    return engine_for(_device.load(device), name or None, numbered, as_of=as_of)


def _model_as_stored(row: Row) -> arch.Model | None:
    """Return a row's model; where its weights are named by how a file stores them (Q4_K_M), stored so."""
    stored = _file_format(row)
    if not stored:
        return _model(row["model_id"], row["model"])
    base = _model("", row["model_id"] or row["model"])
    return base and _model("", f"{base.id}-{stored}")


def _stated_format(row: Row) -> str:
    return row["weights_dtype"].split(" ")[0].casefold()


def _file_format(row: Row) -> str:
    """Return how a row's weights are stored, where it names a type of file and not a number format, else nothing."""
    stored = _stated_format(row).removeprefix("mlx-").replace("_", "-")
    return stored if stored in _file_formats() else ""


@functools.lru_cache(maxsize=1)
def _file_formats() -> frozenset[str]:
    """Return the ways to store a checkpoint that are more than a number format."""
    return frozenset(row["suffix"] for row in catalog.table("weight_formats").rows) - _NUMBERS - set(_FORMATS)


def _known(found: _Known | None, name: str, kind: str) -> _Known:
    if found is None:
        raise Refused(f"{kind} {name[:60]!r} is not in the catalogue" if name else f"{kind} not stated")
    return found


def _number(row: Row, name: str) -> float:
    return float(row.get(name) or 0.0)


def _deployment(row: Row, model: arch.Model, harness: Harness, engine: Engine) -> tuple[Deployment, tuple[str, ...]]:
    devices = int(_number(row, "n_gpus"))
    if not devices:
        raise Refused("number of devices not stated")
    if "disaggregated prefill" in row["notes"]:
        raise Refused("served by separate prefill and decode workers, which only the simulator models")
    tp, pp, dp, ep = (int(_number(row, name)) for name in ("tp", "pp", "dp", "ep"))
    assumed = [name for name, ways in (("tp", tp), ("dp", dp), ("ep", ep)) if not ways]
    pp, dp = pp or 1, dp or 1
    if harness.counts_ways_twice:
        devices, tp, dp, ep = _counted_once(row, devices, tp, dp, ep)
    tp = tp or max(devices // (pp * dp), 1)
    if tp == 1 and dp == 1 and ep == devices * pp:
        tp = devices  # one engine over all devices: attention is cut over the expert-parallel ranks too
    if tp * pp * dp != devices:
        raise Refused(f"tp {tp} x pp {pp} x dp {dp} are not {devices} devices")
    if model.num_moe_layers and harness.spreads_attention and not ep and dp == 1:
        tp, dp, ep = 1, tp, tp
    if not model.num_moe_layers or (tp * dp) % (ep or 1):
        ep = 1
    weight, compute, unstated = _formats(row, model)
    kv = row["kv_dtype"].split(" ")[0].casefold()
    kv = _FORMATS.get(kv, kv)
    assumed += ["weights_dtype"] * unstated + ["kv_dtype"] * (not kv)
    if not kv:
        kv = "fp8" if dtype_bytes(compute) <= 1 and np.max(engine.narrow_cache) > 0 else "bf16"
    _bytes_of(kv)
    layout = Deployment(tp=tp, pp=pp, dp=dp, ep=ep or 1, weight_dtype=weight, compute_dtype=compute, kv_dtype=kv)
    return layout, tuple(assumed)


def _counted_once(row: Row, devices: int, tp: int, dp: int, ep: int) -> tuple[int, int, int, int]:
    """Return devices, tp, dp and ep where a row multiplies ways that share devices.

    Either the devices of one expert (stated as "MoE TP") times the ways of experts, or tp times dp.
    """
    of_expert = int(next(iter(re.findall(r"MoE TP (\d+)", row["notes"])), 1))
    if ep > 1 and of_expert > 1 and of_expert * ep == devices:
        return of_expert, max(tp // ep, 1), max(dp // ep, 1), ep
    if tp > 1 and dp > 1 and tp * dp == ep == devices:
        return tp, tp, 1, tp
    return devices, tp, dp, ep


def _formats(row: Row, model: arch.Model) -> tuple[str, str, bool]:
    """Return the formats of weights and of products, and whether they are not stated.

    Not stated, they are those in the model's name, else those of its checkpoint. A model stored in 4 (or 8) bits and
    run in another format as narrow keeps which of its matrices are narrow.
    """
    stated = _stated_format(row)
    if _file_format(row):
        return model.weight_dtype, model.weight_dtype, False
    named = _NAMED.findall(row["model"])
    asked = stated or (named[-1].casefold() if named else model.weight_dtype)
    dtype = _FORMATS.get(asked, asked)
    asked_bytes, held_bytes = _bytes_of(dtype), _bytes_of(model.weight_dtype)
    same = max(asked_bytes, held_bytes) <= 1 and (asked_bytes < 1) == (held_bytes < 1)
    return (model.weight_dtype if same else dtype), dtype, not stated


def _bytes_of(dtype: str) -> float:
    try:
        return dtype_bytes(dtype)
    except (InputError, UnknownError):
        raise Refused(f"number format {dtype[:20]!r} is not known") from None


def assumed_columns(measured: Measured) -> Mapping[str, int]:
    """Return how many points assume something for each column that their rows do not state."""
    counts: dict[str, int] = {}
    for run in measured.run_of:
        for name in measured.runs[run].assumed:
            counts[name] = counts.get(name, 0) + 1
    return counts
