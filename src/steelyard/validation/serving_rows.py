"""Published serving rows as runs: one deployment under one load, with all figures that were measured of it."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from steelyard import arch, catalog
from steelyard import device as _device
from steelyard.arch.dtypes import dtype_bytes
from steelyard.device import Device
from steelyard.errors import SteelyardError
from steelyard.inference import Deployment
from steelyard.validation.points import Row

MEASURES: Mapping[str, tuple[str, float]] = {  # metric of the row -> metric of the room, factor to its SI unit
    "output_tokens_per_s_total": ("throughput", 1.0),
    "output_tokens_per_s_per_gpu": ("throughput", 1.0),  # times devices
    "total_tokens_per_s": ("throughput", 1.0),  # times the share of output
    "requests_per_s": ("throughput", 1.0),  # times OSL
    "ttft_ms_p50": ("ttft", 1e-3),
    "tpot_ms": ("tpot", 1e-3),
    "itl_ms": ("tpot", 1e-3),
    "e2e_s": ("e2e", 1.0),
    "energy_j_per_token": ("energy", 1.0),
    "energy_j_per_request": ("energy", 1.0),  # over OSL
}
_LOADS = {  # of rows that name no harness
    "concurrency": "closed loop",
    "batch": "fixed batch",
    "rate": "open loop",
    "max_throughput": "all at once",
}
_DTYPES = {"bfloat16": "bf16", "float16": "fp16", "half": "fp16", "fp8_block": "fp8", "fp4": "nvfp4", "int4_wo": "int4"}
_NAMED = re.compile(r"(nvfp4|mxfp4|fp8|int8|int4|awq|gptq|fp4)", re.IGNORECASE)
_KINDS = (  # words of a harness's kind -> how it loads the server
    ("saturated closed loop", "saturated"),
    ("closed loop", "closed loop"),
    ("all requests at once", "all at once"),
    ("all at once", "all at once"),
    ("fixed batch", "fixed batch"),
    ("single stream", "fixed batch"),
    ("open loop", "open loop"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Harness:
    """How a server was loaded."""

    kind: str  # "closed loop", "saturated", "all at once", "fixed batch", "open loop"
    statistic: str  # of latencies: "mean", "median", "unknown"
    requests: float  # sent in all; 0 where not stated


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One deployment under one load."""

    model: arch.Model
    device: Device
    deployment: Deployment
    engine: str
    engine_version: str
    year: float
    isl: float
    osl: float
    load: float  # users, batch, requests or requests/s by the kind of harness; 0 where nothing is stated
    harness: Harness
    family: str
    assumed: tuple[str, ...] = ()
    rows: tuple[tuple[Row, str, float], ...] = field(default=())  # row, metric of the room, value in SI


class Unpredicted(Exception):  # noqa: N818
    """A row that cannot be predicted; its text says why."""


def read_run(row: Row) -> Run:
    """Return what was run.

    Raises:
        Unpredicted: Something that a prediction needs is not stated or not known.
    """
    device = _known(_device.load, row.get("device") or row["gpu"], "device")
    model = _known(arch.load, row.get("model_id") or row["model"], "model")
    harness = harness_of(row)
    isl, osl = _number(row, "isl"), _number(row, "osl")
    if not isl:
        raise Unpredicted("input length not stated")
    if not osl and row["metric"] == "ttft_ms_p50":
        osl = 1.0
    if not osl:
        raise Unpredicted("output length not stated")
    load = _number(row, "load_value")
    if not load and harness.kind not in {"all at once"}:
        raise Unpredicted("load not stated")
    deployment, assumed = _deployment(row, model)
    return Run(
        model=model,
        device=device,
        deployment=deployment,
        engine=row["engine"],
        engine_version=row["engine_version"],
        year=float((row["as_of"] or "0")[:4]) + (float(row["as_of"][5:7]) - 0.5) / 12 if len(row["as_of"]) >= 7 else 0.0,
        isl=isl,
        osl=osl,
        load=load,
        harness=harness,
        family="",
        assumed=assumed,
    )


def _known(load, name, kind):  # type: ignore[no-untyped-def]
    if not name:
        raise Unpredicted(f"{kind} not stated")
    try:
        return load(name)
    except SteelyardError:
        raise Unpredicted(f"{kind} {name!r} is not in the catalogue") from None


def _number(row: Row, name: str) -> float:
    return float(row.get(name) or 0.0)


def _deployment(row: Row, model: arch.Model) -> tuple[Deployment, tuple[str, ...]]:
    assumed = []
    devices = int(_number(row, "n_gpus"))
    if not devices:
        raise Unpredicted("number of devices not stated")
    if "disaggregated" in row["notes"] and "aggregated serving" not in row["notes"].replace("disaggregated", ""):
        raise Unpredicted("prefill and decode on different devices")
    tp, pp, dp, ep = (int(_number(row, name)) for name in ("tp", "pp", "dp", "ep"))
    if not tp:
        assumed.append("tp")
    pp, dp = pp or 1, dp or 1
    tp = tp or max(devices // (pp * dp), 1)
    if tp * pp * dp != devices and ep == devices and tp == 1 and dp == 1:
        tp = devices  # attention is cut over the expert-parallel ranks too
    if tp * pp * dp != devices:
        raise Unpredicted(f"tp {tp} x pp {pp} x dp {dp} are not {devices} devices")
    if not ep and model.num_moe_layers:
        assumed.append("ep")
    ep = ep or 1
    if not model.num_moe_layers or (tp * dp) % ep:
        ep = 1
    weight, compute, told = _formats(row, model)
    if told:
        assumed.append("weights_dtype")
    kv = row["kv_dtype"].split(" ")[0]
    if not kv:
        narrow = dtype_bytes(compute) <= 1
        kv = "fp8" if narrow and row["engine"].casefold().startswith("tensorrt") else "bf16"
        assumed.append("kv_dtype")
    kv = _DTYPES.get(kv, kv)
    return Deployment(tp=tp, pp=pp, dp=dp, ep=ep, weight_dtype=weight, compute_dtype=compute, kv_dtype=kv), tuple(assumed)


def _formats(row: Row, model: arch.Model) -> tuple[str, str, bool]:
    stated = row["weights_dtype"].split(" ")[0]
    assumed = not stated
    if not stated:
        named = _NAMED.findall(row["model"])
        stated = named[-1].casefold() if named else model.weight_dtype
        stated = {"awq": "int4", "gptq": "int4"}.get(stated, stated)
    dtype = _DTYPES.get(stated, stated)
    try:
        same = dtype_bytes(dtype) < 1 and dtype_bytes(model.weight_dtype) < 1
    except SteelyardError:
        raise Unpredicted(f"number format {stated!r} is not known") from None
    return (model.weight_dtype if same else dtype), dtype, assumed


@functools.lru_cache(maxsize=1)
def _harnesses() -> Mapping[str, Row]:
    return {row["harness"]: row for row in catalog.published("harnesses").rows}


def harness_of(row: Row) -> Harness:
    """Return how the server of a row was loaded: as its harness says, or as its kind of load is usually meant."""
    known = _harnesses().get(row.get("harness", ""))
    told = known["kind"] if known else _LOADS.get(row["load"], "")
    kind = next((name for words, name in _KINDS if words in told), "")
    if not kind:
        kind = next((name for words, name in _KINDS if words in _LOADS.get(row["load"], "")), "")
    if not kind:
        raise Unpredicted(f"how the server was loaded is not known ({told or row['load'] or 'not stated'})")
    requests = _requests(known, row) if known else 0.0
    return Harness(kind=kind, statistic=row.get("statistic") or "unknown", requests=requests)


def _requests(known: Row, row: Row) -> float:
    """Return how many requests were sent, by the lengths where the harness says so ("3000 at 128/2048, 2048/128")."""
    text = " ".join((known["n_requests"], known["lengths"], known["batch_means"]))
    lengths = f"{row['isl']}/{row['osl']}"
    for count, where in re.findall(r"(\d+) at ([\d/, ]+)", text):
        if lengths in where.replace(" ", "").split(","):
            return float(count)
    return float(known["n_requests"]) if known["n_requests"].isdigit() else 0.0


def runs(rows: Iterable[Row]) -> list[Run]:
    raise NotImplementedError
