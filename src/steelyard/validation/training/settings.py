"""From one published row to a layout and a recipe; what the row leaves unstated becomes alternatives."""

from __future__ import annotations

import dataclasses
import itertools
import re
from collections.abc import Iterator, Mapping
from typing import Any

from steelyard import arch, catalog, device
from steelyard.device import Device
from steelyard.errors import InputError
from steelyard.training import Layout, Recipe
from steelyard.training.recipe import LORA_RANK
from steelyard.validation.points import Row

COMPUTE_DTYPES = {  # as published -> format of the matrix products
    "bf16": "bf16", "fp16": "fp16", "fp32": "fp32", "tf32": "tf32", "fp8": "fp8", "float8": "fp8", "fp8-cs": "fp8",
    "mxfp8": "fp8", "fp8-mx": "fp8", "nvfp4": "nvfp4", "int8": "int8",
}  # fmt: skip
BASE_DTYPES = {"int4": "int4", "nf4": "int4"}  # of frozen weights at rest
ZERO_STAGES = {"ddp": 0, "zero1": 1, "zero2": 2, "zero3": 3, "fsdp": 3, "hsdp": 3}
_OF_DEEPSPEED = ("zero2", "zero3")  # under any front end
_COMPILED = "compiled PyTorch"  # of table `trainers`
_CAPTURED = {"none": 0.0, "partial": 0.7, "full": 1.0}
_LIKE_FULL = "as much recompute as full"
_LINK_RATES = (  # what an interconnect cell says -> bytes/s of one node in one direction
    (re.compile(r"([\d.]+)\s*Gb/s per node", re.IGNORECASE), 1e9 / 8),
    (re.compile(r"InfiniBand\s+([\d.]+)\s*Gb/s", re.IGNORECASE), 1e9 / 8),
    (re.compile(r"([\d.]+)\s*Omni-Path links? per node", re.IGNORECASE), 100e9 / 8),
    (re.compile(r"([\d.]+)\s*x\s*100\s*Gbe?\b", re.IGNORECASE), 100e9 / 8),
)
_KEPT_WHOLE = re.compile(r"reshard(_after_forward)?[ =:]*(never|false)|shard_grad_op", re.IGNORECASE)
"""FSDP that keeps gathered weights until the backward pass has used them: gradients and states alone stay split."""
_PURE_TOLD = re.compile(r"\b(pure bf16|bf16 (model|parameters|weights))\b", re.IGNORECASE)
PURE: Mapping[str, Any] = {"master_bytes": 0.0, "gradient_bytes": 2.0, "moment_bytes": 4.0}
"""Weights in 16 bits without an fp32 copy: PyTorch's optimizers keep gradients and moments in the weight's format."""
_SLICES = re.compile(r"DCN between (\d+) slice")


class UnstatedError(InputError):
    """A row that does not say enough to be predicted; the message is the reason."""


def device_of(row: Row) -> Device:
    """Return the row's device, with the size of its node and its network where the row states them."""
    card = catalog.accelerator(row["gpu"])
    changes: dict[str, Any] = {}
    if per_node := number(row, "gpus_per_node"):
        changes["devices_per_node"] = per_node
        if card.scale_up_devices == card.devices_per_node:
            changes["scale_up_devices"] = per_node
    for pattern, unit in _LINK_RATES:
        if found := pattern.search(row["interconnect"]):
            changes["scale_out_bytes_per_s"] = float(found[1]) * unit / (per_node or card.devices_per_node)
    if slices := _SLICES.search(row["interconnect"]):
        changes["scale_up_devices"] = max(number(row, "n_gpus") // int(slices[1]), 1)
    return device.from_accelerator(dataclasses.replace(card, **changes))


def number(row: Row, column: str) -> int:
    """Return a whole number, 0 where it is not stated."""
    return int(float(row[column])) if row.get(column) else 0


def trainer_of(row: Row) -> catalog.Row:
    """Return what is known of the row's software at its date (table `trainers`)."""
    software, date = row["framework"].casefold(), row["as_of"]
    if row["sharding"] in _OF_DEEPSPEED:
        software += " deepspeed"
    for trainer in catalog.table("trainers").rows:
        matches = [part for part in trainer.get("matches").split(";") if part]
        if trainer.get("until") and not (date and date < trainer["until"]):
            continue
        if not matches or any(part in software for part in matches):
            return trainer
    return catalog.table("trainers").rows[-1]


def layouts(row: Row, trainer: catalog.Row) -> list[Layout]:
    """Return the layouts that a row can mean.

    Raises:
        UnstatedError: It lacks what no alternative stands for, or its figures contradict each other.
    """
    count = number(row, "n_gpus")
    if not count:
        raise UnstatedError("the number of devices is not stated")
    split = {name: number(row, name) or 1 for name in ("tp", "pp", "cp", "ep", "vpp")}
    sharding = sharding_of(row, trainer)
    if count > 1 and not row["tp"] and ZERO_STAGES.get(sharding, 1) == 1:
        raise UnstatedError("the layout is not stated")
    replica = split["tp"] * split["pp"] * split["cp"]
    if count % replica or (number(row, "dp") and number(row, "dp") * replica != count):
        raise UnstatedError(f"tp x pp x cp x dp does not make {count} devices")
    dp = count // replica
    slices = _SLICES.search(row["interconnect"])
    copies = int(slices[1]) if slices else 2 if sharding == "hsdp" else 1
    found = []
    for micro, batch in _batches(row, dp):
        for zero, recompute in itertools.product(_zero_stages(row, sharding, dp), _recomputes(row, trainer)):
            found.append(
                Layout(
                    **split, dp=dp, micro_batch=micro, global_batch=batch, zero_stage=zero, recompute=recompute,
                    replicas=copies if zero and dp % copies == 0 else 1, schedule=_schedule(row),
                )
            )  # fmt: skip
    return found


def _batches(row: Row, dp: int) -> list[tuple[Any, int]]:
    micro, batch = number(row, "micro_batch"), number(row, "global_batch")
    if "MaxText" in row["framework"]:  # states the batch of a chip, and accumulates nothing
        batch = batch or micro * number(row, "n_gpus")
        micro = 0
        if batch:
            return [(batch / dp, batch)]
    if not micro and not batch:
        raise UnstatedError("neither micro-batch nor global batch is stated")
    if micro:
        return [(micro, batch or micro * dp)]
    return [(size, batch) for size in (1, 2) if batch % (dp * size) == 0] or [(max(batch / dp, 1), batch)]


def sharding_of(row: Row, trainer: catalog.Row) -> str:
    """Return the stated sharding, else the software's own where the row states no layout at all."""
    if row["sharding"] or row["tp"] or number(row, "n_gpus") <= 1:
        return row["sharding"]
    return trainer.get("sharding")


def _zero_stages(row: Row, sharding: str, dp: int) -> list[int]:
    stage = ZERO_STAGES.get(sharding)
    if stage is None and sharding:
        raise UnstatedError(f"sharding {sharding!r} is not known")
    if stage == 3 and _KEPT_WHOLE.search(row["notes"]):
        return [2]
    return [0, 1] if stage is None and dp > 1 else [1 if stage is None else stage]


def _recomputes(row: Row, trainer: catalog.Row) -> list[str]:
    if _LIKE_FULL in row["recompute_detail"] or row["recompute_detail"] == "remat_policy full":
        return ["full"]
    if stated := row["recompute"] or trainer.get("recompute"):
        return [stated]
    return ["none", "full"] if trainer["attention"] == "unfused" else ["none", "selective", "full"]


def _schedule(row: Row) -> str:
    return "zero_bubble" if re.search(r"schedule (zb|zero|v-)", row["notes"]) else "1f1b"


def recipe(row: Row, trainer: catalog.Row) -> Recipe:
    """Return how the row's software ran it.

    Raises:
        UnstatedError: The number format is not stated or not known.
    """
    dtype, base = _dtypes(row, trainer)
    notes = f"{row['model']} {row['notes']}".casefold()
    told = f"{notes} {row['settings_source']}".casefold()
    method = "lora" if base != "bf16" or re.search(r"lora\b|adapter", told) else "full"
    half = row["grad_reduce_dtype"] == "bf16" or dtype == "fp16" or "mode pure" in notes
    compiled, master = _compiled(row, notes), trainer.value("master")
    stated = Recipe(
        compute_dtype=dtype,
        base_dtype=base,
        method=method,
        lora_rank=number(row, "lora_rank") or LORA_RANK,
        trained_ends="(emb)" in notes,
        attention=trainer["attention"],
        recomputed=_modules(row["recompute_detail"]) or _usual_modules(trainer),
        narrow_kept_ratio=trainer.value("narrow_kept"),
        prediction_layers=number(row, "mtp_layers") if row["mtp_layers"] not in ("", "0") else 0,
        hooked_ratio=1.0 if row["sharding"] == "zero3" else 0.0,
        tuned_ratio=trainer.value("tuned"),
        compiled_ratio=max(float(compiled), trainer.value("compiled")),
        eager_ratio=0.0 if compiled else trainer.value("eager"),
        sequence_parallel=_flag(row, "sequence_parallel", trainer.value("sequence_parallel")) > 0,
        tp_overlap_ratio=_flag(row, "tp_comm_overlap", trainer.value("tp_overlap")),
        ep_overlap_ratio=_flag(row, "ep_comm_overlap", 0.0),
        node_dispatch_ratio=1.0 if row["moe_token_dispatcher"] in ("deepep", "hybridep") else 0.0,
        captured_ratio=_CAPTURED.get(row["cuda_graph"], 0.0),
        gradient_reduce_bytes=2.0 if half else 4.0,
        gradient_bytes=_gradient(row, dtype, trainer),
        update_bytes=trainer.value("update"),
        logit_bytes=_logit(trainer, compiled),
        bucket_bytes=trainer.value("bucket"),
        master_bytes=master,
        gather_bytes=1.0 if row["fp8_param_gather"] == "1" else 2.0,
        moment_bytes=4.0 if master == 0 else _moments(row, notes),
        offload_ratio=_offloaded(row),
        state_offload_ratio=1.0 if re.search(r"optimizer offload y|full cpu offload section", notes) else 0.0,
    )
    return dataclasses.replace(stated, **PURE) if _PURE_TOLD.search(row["notes"]) else stated


def _compiled(row: Row, notes: str) -> bool:
    return "torch.compile" in f"{row['framework'].casefold()} {notes}" and "without torch.compile" not in notes


def _logit(trainer: catalog.Row, compiled: bool) -> float:
    """Return the bytes kept of a logit; whoever compiles what is usually eager compiles the loss with it."""
    own = trainer.value("logit")
    if not compiled or trainer.value("compiled"):
        return own
    return min(own, *(one.value("logit") for one in catalog.table("trainers").rows if one["trainer"] == _COMPILED))


def _dtypes(row: Row, trainer: catalog.Row) -> tuple[str, str]:
    text = row["dtype"].casefold() or trainer.get("dtype")
    if not text:
        raise UnstatedError("the number format is not stated")
    stated = f"{text} {'nf4' if re.search('qlora|q-lora', row['notes'].casefold()) else ''}"
    base = next((name for part, name in BASE_DTYPES.items() if part in stated), "bf16")
    first = text.partition("+")[0].strip()
    if base != "bf16" and first not in COMPUTE_DTYPES:
        first = "bf16"
    if first not in COMPUTE_DTYPES:
        raise UnstatedError(f"number format {row['dtype']!r} is not known")
    return COMPUTE_DTYPES[first], base


def _flag(row: Row, column: str, default: float) -> float:
    return float(row[column]) if row[column] else default


def _modules(detail: str) -> tuple[str, ...]:
    if detail.startswith("modules: "):
        return tuple(detail.removeprefix("modules: ").split("+"))
    return ("mlp",) if "proj=offload" in detail else ("layer",) if "=offload" in detail else ()


def _usual_modules(trainer: catalog.Row) -> tuple[str, ...]:
    selective = trainer.get("selective")
    return tuple(selective.split(";")) if selective else arch.USUAL_RECOMPUTED


def _gradient(row: Row, dtype: str, trainer: catalog.Row) -> float:
    """Return the bytes of a gradient while it is accumulated; an fp32 sum is kept beside 16-bit ones where stated."""
    narrow = dtype == "fp16" or row["grad_reduce_dtype"] == "bf16"
    size = min(trainer.value("gradient"), 2.0) if narrow else trainer.value("gradient")
    return size + 4.0 if "fp32 grad accumulation" in row["notes"] else size


def _moments(row: Row, notes: str) -> float:
    if re.search(r"(?<!no )\b(8-bit|bnb)\b.*optimizer", notes) and "baseline optimizer" not in notes:
        return 2.0
    if "muon" in row["optimizer"].casefold():
        return 4.0
    return {"bf16": 4.0, "mu bf16": 6.0}.get(row["optimizer_state_dtype"], 8.0)


def _offloaded(row: Row) -> float:
    found = re.match(r"activations of (\d+) layers", row["cpu_offload"])
    if found and row["layers"]:
        return min(int(found[1]) / number(row, "layers"), 1.0)
    return 0.0


_EVERYTHING = ("gpu", "n_gpus", "seq_len", "dtype", "micro_batch", "global_batch", "recompute")


def states_everything(row: Row) -> bool:
    """Return whether a row states device, count, layout, batches, sequence, format, recomputation and sharding.

    Of one device neither layout nor sharding is asked.
    """
    split = ("tp", "pp", "sharding") if number(row, "n_gpus") > 1 else ()
    fsdp = ZERO_STAGES.get(row["sharding"], 0) > 1
    return all(row[name] or (fsdp and name in ("tp", "pp")) for name in (*_EVERYTHING, *split))


def unsure(row: Row) -> str:
    """Return why a row's own notes say that its figure is not to be used, or nothing."""
    for words, reason in _UNSURE.items():
        if words in row["notes"].casefold():
            return reason
    return ""


_UNSURE: Mapping[str, str] = {
    "do not fit": "its notes say that the figure is doubtful",
    "layout unreliable": "its notes say that the printed layout is wrong",
    "does not cover": "the printed layout does not cover its devices",
    "disagree": "its figures disagree with each other",
    "printed global batch": "the printed batch disagrees with micro-batch x accumulation x dp",
    "same run": "it repeats an older run",
    "same runtime": "its runtime repeats that of another device count",
    "samples are shorter": "its samples have lengths that are not stated",
    "variable length": "its samples have lengths that are not stated",
}


def assumptions(row: Row) -> list[str]:
    """Return what is read into a row that it does not state, one line each."""
    trainer = trainer_of(row)
    found = []
    if not row["dtype"]:
        found.append(f"state no number format: read as {trainer.get('dtype')}")
    if not row["sharding"] and (sharding := sharding_of(row, trainer)):
        found.append(f"state no layout: read as {sharding} over all devices, as {trainer['trainer']} does by default")
    return found


def alternatives(row: Row) -> Iterator[tuple[Layout, Recipe]]:
    """Yield every layout with recipe that a row can mean."""
    trainer = trainer_of(row)
    how = recipe(row, trainer)
    for layout in layouts(row, trainer):
        yield layout, how
