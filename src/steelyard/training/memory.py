"""Bytes one device needs to train: item by item, so that the biggest can be named."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from steelyard import arch
from steelyard import device as devices
from steelyard.arch import Model
from steelyard.device import Device
from steelyard.records.term import term
from steelyard.training.calibration import parameter
from steelyard.training.layout import RECOMPUTE, Layout, stage_layers
from steelyard.training.pipeline import in_flight
from steelyard.training.sharding import LORA_RANK, Method, Shard, Whole, check_method, shard, whole
from steelyard.units import Array, format_quantity

WEIGHT_BYTES = 2.0  # bf16
GRADIENT_BYTES = 4.0  # accumulated in fp32
OPTIMIZER_BYTES = 12.0  # Adam: fp32 master weight, first and second moment
LOGIT_BYTES = 6.0  # bf16 logits, and their fp32 copy that becomes the gradient
_ZERO = 'Rajbhandari et al., "ZeRO", arXiv 1910.02054'
_KORTHIKANTI = 'Korthikanti et al., "Reducing Activation Recomputation", arXiv 2205.05198'
_CALIBRATION = "calibration/training.toml"
_ITEMS = ("weights", "gradients", "optimizer", "activations", "logits", "gathered", "overhead")


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """Bytes on the fullest device of a run; arrays broadcast over layouts."""

    total_bytes: Array = term(
        "memory per device", "bytes", " + ".join(_ITEMS), parts=tuple(f"{item}_bytes" for item in _ITEMS)
    )
    weights_bytes: Array = term("weights", "bytes", "2 * params / (tp pp, experts: ep); / (dp cp) with ZeRO-3", _ZERO)
    gradients_bytes: Array = term("gradients", "bytes", "4 * trained params; / (dp cp) from ZeRO-2 on", _ZERO)
    optimizer_bytes: Array = term("optimizer states", "bytes", "12 * trained params; / (dp cp) from ZeRO-1 on", _ZERO)
    activations_bytes: Array = term(
        "activations", "bytes",
        "bytes kept per token and layer * tokens * layers of the stage * micro-batches in flight",
        _KORTHIKANTI,
    )  # fmt: skip
    logits_bytes: Array = term("logits", "bytes", "6 * tokens * vocabulary / tp, on the last stage", _KORTHIKANTI)
    gathered_bytes: Array = term("weights gathered for use (ZeRO-3)", "bytes", "params of a layer * (2 * 2 + 4)", _ZERO)
    overhead_bytes: Array = term("workspace and communication buffers", "bytes", "calibrated constant", _CALIBRATION)
    usable_bytes: Array = term("usable memory of the device", "bytes", "capacity * usable_memory_ratio")

    @property
    def fits(self) -> npt.NDArray[np.bool_]:
        """Where the run fits its device."""
        return np.asarray(self.total_bytes) <= self.usable_bytes

    def biggest(self, number: int = 3) -> list[tuple[str, float]]:
        """Return the largest items of one layout as (label, bytes), largest first."""
        sizes = [(item, float(np.median(getattr(self, f"{item}_bytes")))) for item in _ITEMS]
        return sorted(sizes, key=lambda pair: -pair[1])[:number]

    def describe(self) -> str:
        """Return one line: what is needed, what there is, what takes the most."""
        items = ", ".join(f"{name} {format_quantity(size, 'bytes')}" for name, size in self.biggest())
        need, have = float(np.median(self.total_bytes)), float(np.median(self.usable_bytes))
        return f"needs {format_quantity(need, 'bytes')} of {format_quantity(have, 'bytes')} per device ({items})"


def memory(
    model: Model,
    device: Device,
    layout: Layout,
    *,
    seq_tokens: float,
    method: str = "full",
    lora_rank: int = LORA_RANK,
) -> Memory:
    """Return the memory of the fullest device while training, item by item [bytes].

    Args:
        model: From `arch`.
        device: Its usable memory decides what fits.
        layout: One layout or arrays of them; not checked here (`layout.check`).
        seq_tokens: Tokens of one sequence.
        method: "full" trains all weights; "lora" keeps them frozen and trains adapters.
        lora_rank: Rank of the adapters.

    Returns:
        A `Memory` in the broadcast shape of the layout's arrays.

    Assumes:
        Adam in mixed precision (2 + 4 + 12 bytes per trained parameter); the first or the last stage is the fullest.

    Source:
        Rajbhandari et al., arXiv 1910.02054; Korthikanti et al., arXiv 2205.05198.

    Example:
        >>> from steelyard import arch, device
        >>> one = memory(arch.load("llama-3.1-8b"), device.load("h100"), Layout(), seq_tokens=8192)
        >>> bool(one.fits), f"{one.optimizer_bytes / 8.03e9:.1f} B/param"
        (False, '12.0 B/param')
    """
    way = check_method(method)
    parts, held = whole(model, lora_rank), shard(model, layout, lora_rank=lora_rank)
    first = _states(held, parts, layout, way, last=False)
    last = _states(held, parts, layout, way, last=True)
    act_first, act_last = _activations(model, layout, seq_tokens)
    tokens = np.asarray(layout.micro_batch) * seq_tokens / np.asarray(layout.cp)
    logits = LOGIT_BYTES * tokens * model.vocab / layout.tp
    single = np.asarray(layout.pp) == 1
    on_last = single | (sum(last) + act_last + logits > sum(first) + act_first)
    weights, gradients, optimizer = (np.where(on_last, b, a) for a, b in zip(first, last, strict=True))
    items: dict[str, Array] = {
        "weights_bytes": weights,
        "gradients_bytes": gradients,
        "optimizer_bytes": optimizer,
        "activations_bytes": np.where(on_last & ~single, act_last, act_first),
        "logits_bytes": np.where(on_last, logits, 0.0),
        "gathered_bytes": _gathered(model, held, layout, way),
        "overhead_bytes": parameter("overhead_bytes"),
    }
    return Memory(total_bytes=sum(items.values()), usable_bytes=devices.usable_memory_bytes(device), **items)


def _states(held: Shard, parts: Whole, layout: Layout, method: Method, *, last: bool) -> tuple[Array, Array, Array]:
    """Return weights, gradients and optimizer states of the first or the last stage's device [bytes]."""
    dense, expert, first_end, last_end = held.trained(method, parts)
    single = np.asarray(layout.pp) == 1
    scale = np.where(single, 1.0, held.last_ratio) if last else 1.0
    first_there = np.where(single, 1.0, 0.0) if last else 1.0
    last_there = 1.0 if last else np.where(single, 1.0, 0.0)
    kept = held.dense_params * scale + held.first_params * first_there + held.last_params * last_there
    trained = dense * scale + first_end * first_there + last_end * last_there
    ranks, expert_ranks = np.asarray(layout.dp, np.float64) * layout.cp, layout.expert_dp
    zero = np.asarray(layout.zero_stage)

    def split(size: Array, dense_params: Array, expert_params: Array, stage: int) -> Array:
        over, expert_over = np.where(zero >= stage, ranks, 1.0), np.where(zero >= stage, expert_ranks, 1.0)
        return size * (dense_params / over + expert_params / expert_over)

    return (
        split(WEIGHT_BYTES, kept, held.expert_params * scale, 3),
        split(GRADIENT_BYTES, trained, expert * scale, 2),
        split(OPTIMIZER_BYTES, trained, expert * scale, 1),
    )


def _activations(model: Model, layout: Layout, seq_tokens: float) -> tuple[Array, Array]:
    """Return the activations kept on the first and the last stage [bytes].

    With full recompute one layer at a time is also rebuilt whole.
    """
    kept: Array = 0.0
    for kind in RECOMPUTE:
        of_kind = arch.activation_bytes_per_token_layer(model, tp=layout.tp, recompute=kind, seq_tokens=seq_tokens)
        kept = np.where(layout.is_recompute(kind), of_kind, kept)
    rebuilt = arch.activation_bytes_per_token_layer(model, tp=layout.tp, recompute="none", seq_tokens=seq_tokens)
    tokens = np.asarray(layout.micro_batch) * seq_tokens / np.asarray(layout.cp)
    layers, last_layers = stage_layers(model, layout)
    one_layer = np.where(layout.is_recompute("full"), rebuilt * tokens, 0.0)
    return kept * tokens * layers * in_flight(layout) + one_layer, kept * tokens * last_layers + one_layer


def _gathered(model: Model, held: Shard, layout: Layout, method: Method) -> Array:
    """Return what ZeRO-3 holds whole while it is used: the layer at work and the next one, with gradients [bytes]."""
    layers, _ = stage_layers(model, layout)
    one = (held.dense_params + held.expert_params) / layers
    size = WEIGHT_BYTES + (GRADIENT_BYTES / 2 if method == "full" else 0.0)  # gradients of one of the two layers
    return np.where(np.asarray(layout.zero_stage) == 3, 2 * size * one, 0.0)
