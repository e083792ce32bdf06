"""Published kernel timings as operators and collectives on devices."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from steelyard import device as _device
from steelyard.arch import dtype_bytes
from steelyard.device import Device
from steelyard.errors import InputError, UnknownError
from steelyard.records.operator import Operator
from steelyard.validation.points import Point, Refusal, Row

COLLECTIVES: Mapping[str, str] = {
    "allreduce": "all_reduce",
    "allgather": "all_gather",
    "reducescatter": "reduce_scatter",
    "all2all": "all_to_all",
}
_FORMATS = {  # as printed -> bytes of a weight, format of the products
    "bfloat16": ("bf16", "bf16"), "bf16": ("bf16", "bf16"), "fp16": ("fp16", "fp16"), "fp8": ("fp8", "fp8"),
    "fp8_block": ("fp8", "fp8"), "fp8_static": ("fp8", "fp8"), "nvfp4": ("nvfp4", "nvfp4"),
    "int8_wo": ("int8", "bf16"), "int4_wo": ("int4", "int4"), "sq": ("int8", "int8"),
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Kernel:
    """One timed kernel: an operator, or a collective of `ranks` devices."""

    device: Device
    op: Operator | None = None
    collective: str = ""
    payload_bytes: float = 0.0
    ranks: float = 1.0


def kernels(rows: Iterable[Row]) -> tuple[list[tuple[Point, Kernel]], list[Refusal]]:
    """Return timed kernels with their points [s], and what is not predicted.

    The family of a kernel is its device's generation: devices of one vendor with the same number formats and links.
    """
    found: list[tuple[Point, Kernel]] = []
    refused: list[Refusal] = []
    for number, row in enumerate(rows, start=1):
        name = row.get("id") or f"row {number}"
        try:
            metric, kernel = _kernel(row)
        except ValueError as error:
            refused.append(Refusal(id=name, family=row["source"].split(":")[0], metric=row["op"], reason=str(error)))
            continue
        value = float(row["value"]) * 1e-6
        family = row.get("family") or generation(kernel.device)
        found.append((Point(id=name, family=family, metric=metric, value=value, row=row), kernel))
    return found, refused


def generation(device: Device) -> str:
    """Return the generation of a device, as its vendor, narrowest format and links tell it.

    Example:
        >>> from steelyard import device
        >>> generation(device.load("h100")) == generation(device.load("h200")), generation(device.load("l40s"))
        (True, 'nvidia fp8, no links')
    """
    card = device.accelerator
    narrow = next((dtype for dtype in ("fp4", "fp8", "int8") if dtype in card.peak_flop_per_s), "16 bits")
    return f"{card.vendor.casefold()} {narrow}, {'linked' if card.scale_up_bytes_per_s > 0 else 'no links'}"


@functools.lru_cache(maxsize=64)
def _load(name: str) -> Device | None:
    try:
        return _device.load(name)
    except (InputError, UnknownError):
        return None


def _kernel(row: Row) -> tuple[str, Kernel]:
    """Return the metric and the kernel of a row.

    Raises:
        ValueError: It is not predicted; the text says why.
    """
    device = _load(row["gpu"])
    if device is None:
        raise ValueError(f"device {row['gpu'][:40]!r} is not in the catalogue" if row["gpu"] else "device not stated")
    if row["metric"] != "us":
        raise ValueError("a rate, not a time: the best of a sweep, or the same timing again")
    if row["op"] == "gemm":
        return "gemm", Kernel(device=device, op=_gemm(row))
    if row["op"] == "attention":
        return _attention(row, device)
    if row["op"] in COLLECTIVES:
        return "collective", _collective(row, device)
    raise ValueError(f"operator {row['op'][:40]!r} is not predicted alone")


def _gemm(row: Row) -> Operator:
    shape = re.match(r"(\d+)x(\d+)x(\d+)", row["shape_size"])
    if shape is None or row["dtype"] not in _FORMATS:
        raise ValueError(f"shape {row['shape_size'][:30]!r} or format {row['dtype'][:20]!r} is not understood")
    m, n, k = (float(size) for size in shape.groups())
    weight, compute = _FORMATS[row["dtype"]]
    inputs = 2.0 if dtype_bytes(compute) < 1 and compute == "int4" else dtype_bytes(compute)
    return Operator(
        name="matmul", kind="gemm", place="layer", count=1, flop=2 * m * n * k,
        weight_bytes=n * k * dtype_bytes(weight),
        activation_bytes=m * (k * inputs + 2.0 * n), m=m, n=n, k=k, compute_dtype=compute,
    )  # fmt: skip


def _attention(row: Row, device: Device) -> tuple[str, Kernel]:
    """Return causal attention over a prompt, or of one new token of each sequence over its cache (of 8 bits)."""
    text = row["shape_size"]
    sizes = re.match(
        r"(prefill|decode) batch (\d+), (?:isl|context) (\d+), (\d+) q heads, (\d+) kv heads, d(\d+)", text
    )
    if sizes is None:
        raise ValueError(f"shape {text[:40]!r} is not understood")
    phase = sizes[1]
    batch, length, heads, kv_heads, dim = (float(part) for part in sizes.groups()[1:])
    new = length if phase == "prefill" else 1.0
    before = 0.0 if phase == "prefill" else length
    pairs = new * (before + (new + 1.0) / 2.0)
    op = Operator(
        name="attention", kind="attention", place="layer", count=1, flop=batch * 4.0 * dim * heads * pairs,
        weight_bytes=0.0, activation_bytes=batch * new * 2.0 * dim * (2.0 * heads + 2.0 * kv_heads),
        cache_bytes=batch * (before + new) * 2.0 * kv_heads * dim * (2.0 if phase == "prefill" else 1.0),
    )  # fmt: skip
    return f"attention {phase}", Kernel(device=device, op=op)


def _collective(row: Row, device: Device) -> Kernel:
    size = re.search(r"(\d+) B", row["shape_size"])
    if size is None:
        raise ValueError(f"size {row['shape_size'][:30]!r} is not understood")
    if not row["n_gpus"] or device.accelerator.scale_up_bytes_per_s <= 0:
        raise ValueError("collectives over PCIe: without peer-to-peer far below the bus, and the row does not say")
    ranks = float(row["n_gpus"])
    if "nodes" in row["interconnect"]:
        raise ValueError("several nodes: the network between them is not stated")
    return Kernel(device=device, collective=COLLECTIVES[row["op"]], payload_bytes=float(size[1]), ranks=ranks)
