"""Bytes one device needs to train: item by item, so that the biggest can be named."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from steelyard import arch
from steelyard import device as devices
from steelyard.arch import Model
from steelyard.device import Device
from steelyard.records.term import term
from steelyard.training.calibration import Parameters, shipped
from steelyard.training.layout import RECOMPUTE, Layout, Recompute, stage_layers
from steelyard.training.pipeline import in_flight
from steelyard.training.recipe import LORA_RANK, Recipe
from steelyard.training.sharding import Shard, Whole, shard, whole
from steelyard.units import Array, format_quantity

WEIGHT_BYTES = 2.0  # bf16
OPTIMIZER_BYTES = 12.0  # Adam as a recipe has it by default: fp32 master weight, first and second moment
WHOLE_ON_A_RANK = {"none": 4.0, "selective": 2.0, "full": 1.0}
"""Tensors of hidden width that a layer keeps and that only sequence parallelism splits: inputs of its two norms and of
its two first matrices; with selective recompute those of the norms, with full the layer's own."""
SCORE_BYTES = 5.0  # kept of an attention score without flash attention: after softmax, after dropout, and its mask
UPDATE_PARAMS = 1e9  # ZeRO-3 updates so many parameters at a time (DeepSpeed's sub_group_size), ZeRO-1 and -2 all
_ZERO = 'Rajbhandari et al., "ZeRO", arXiv 1910.02054'
_KORTHIKANTI = 'Korthikanti et al., "Reducing Activation Recomputation", arXiv 2205.05198'
_CALIBRATION = "calibration/training.toml"
_ITEMS = (
    "weights", "gradients", "optimizer", "update", "activations", "logits", "gathered", "fragmentation", "overhead",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """Bytes on the fullest device of a run; arrays broadcast over layouts."""

    total_bytes: Array = term(
        "memory per device",
        "bytes",
        " + ".join(_ITEMS),
        parts=tuple(f"{item}_bytes" for item in _ITEMS),
    )
    weights_bytes: Array = term("weights", "bytes", "2 * params / (tp pp, experts: ep); / (dp cp) with ZeRO-3", _ZERO)
    gradients_bytes: Array = term("gradients", "bytes", "4 (bf16: 2) * trained params; / (dp cp) from ZeRO-2 on", _ZERO)
    optimizer_bytes: Array = term(
        "optimizer states", "bytes", "12 (Adam) * trained params; / (dp cp) from ZeRO-1 on", _ZERO
    )
    update_bytes: Array = term(
        "copies of gradients while weights are updated", "bytes",
        "bytes of the software's copies (DeepSpeed: 2 + 4) * trained params that a device updates at once", _ZERO,
    )  # fmt: skip
    activations_bytes: Array = term(
        "activations", "bytes",
        "bytes kept per token and layer * tokens * layers of the stage * micro-batches in flight",
        _KORTHIKANTI,
    )  # fmt: skip
    logits_bytes: Array = term(
        "logits", "bytes", "6 (eager software: 14) * tokens * vocabulary / tp, on the last stage", _KORTHIKANTI
    )
    gathered_bytes: Array = term(
        "weights gathered for use (ZeRO-3), buckets", "bytes", "params of a layer * (2 * 2 + 4) + the software's", _ZERO
    )
    fragmentation_bytes: Array = term(
        "held by the allocator, not in use", "bytes", "calibrated share of all the above", _CALIBRATION
    )
    overhead_bytes: Array = term(
        "context, workspaces and communication buffers", "bytes",
        "calibrated constant + calibrated buffers * kinds of groups (tp, pp, dp, cp, ep)", _CALIBRATION,
    )  # fmt: skip
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
    recipe: Recipe | None = None,
    parameters: Parameters | None = None,
) -> Memory:
    """Return the memory of the fullest device while training, item by item [bytes].

    Args:
        model: From `arch`.
        device: Its usable memory decides what fits.
        layout: One layout or arrays of them; not checked here (`layout.check`).
        seq_tokens: Tokens of one sequence.
        method: "full" trains all weights; "lora" keeps them frozen and trains adapters.
        lora_rank: Rank of the adapters.
        recipe: All that software decides (then the two above are its fields); software of today when None.
        parameters: Calibrated ratios; those shipped for the device's family when None.

    Returns:
        A `Memory` in the broadcast shape of the layout's arrays.

    Assumes:
        Adam in mixed precision unless the recipe says otherwise (2 + 4 + 12 bytes per trained parameter); the first or
        the last stage is the fullest.

    Source:
        Rajbhandari et al., arXiv 1910.02054; Korthikanti et al., arXiv 2205.05198.

    Example:
        >>> from steelyard import arch, device
        >>> one = memory(arch.load("llama-3.1-8b"), device.load("h100"), Layout(), seq_tokens=8192)
        >>> bool(one.fits), f"{one.optimizer_bytes / 8.03e9:.1f} B/param"
        (False, '12.0 B/param')
    """
    chosen = recipe or Recipe(method=method, lora_rank=lora_rank)
    items = calibrated(
        memory_items(model, layout, chosen, seq_tokens=seq_tokens),
        layout.num_groups,
        shipped(device.accelerator) if parameters is None else parameters,
    )
    return Memory(total_bytes=sum(items.values()), usable_bytes=devices.usable_memory_bytes(device), **items)


def calibrated(items: Mapping[str, Array], num_groups: Array, p: Parameters) -> dict[str, Array]:
    """Return the items, and what a real allocator and the framework need above them."""
    counted = sum(items.values())
    return {
        **items,
        "fragmentation_bytes": (np.asarray(p.fragmentation_ratio) - 1.0) * counted,
        "overhead_bytes": p.overhead_bytes + p.group_bytes * np.asarray(num_groups),
    }


def memory_items(model: Model, layout: Layout, recipe: Recipe, *, seq_tokens: float) -> dict[str, Array]:
    """Return what is counted on the fullest device, before calibration [bytes].

    Logits are gone before the first layer is rebuilt for its backward pass: the larger of the two counts.
    """
    parts, held = whole(model, recipe.lora_rank), shard(model, layout, lora_rank=recipe.lora_rank)
    first = _states(held, parts, layout, recipe, last=False)
    last = _states(held, parts, layout, recipe, last=True)
    kept_first, kept_last, rebuilt = _activations(model, layout, recipe, seq_tokens)
    tokens = np.asarray(layout.micro_batch) * seq_tokens / np.asarray(layout.cp)
    logits = np.asarray(recipe.logit_bytes) * tokens * model.vocab / layout.tp * (1 + recipe.prediction_layers)
    after = np.maximum(rebuilt - logits, 0.0)
    single = np.asarray(layout.pp) == 1
    on_last = single | (sum(last) + kept_last + logits + after > sum(first) + kept_first + rebuilt)
    weights, gradients, optimizer, update = (np.where(on_last, b, a) for a, b in zip(first, last, strict=True))
    return {
        "weights_bytes": weights,
        "gradients_bytes": gradients,
        "optimizer_bytes": optimizer,
        "update_bytes": update,
        "activations_bytes": np.where(on_last, kept_last + after, kept_first + rebuilt),
        "logits_bytes": np.where(on_last, logits, 0.0),
        "gathered_bytes": _gathered(model, held, layout, recipe),
    }


def _states(held: Shard, parts: Whole, layout: Layout, recipe: Recipe, *, last: bool) -> tuple[Array, ...]:
    """Return weights, gradients, states and copies for the update on the first or the last stage's device [bytes]."""
    dense, expert, first_end, last_end = held.trained(recipe, parts)
    single = np.asarray(layout.pp) == 1
    scale = np.where(single, 1.0, held.last_ratio) if last else 1.0
    first_there = np.where(single, 1.0, 0.0) if last else 1.0
    last_there = 1.0 if last else np.where(single, 1.0, 0.0)
    ends = held.first_params * first_there + held.last_params * last_there
    trained = dense * scale + first_end * first_there + last_end * last_there
    zero = np.asarray(layout.zero_stage)

    def split(size: Array, dense_params: Array, expert_params: Array, stage: int) -> Array:
        over = np.where(zero >= stage, layout.zero_ranks, 1.0)
        expert_over = np.where(zero >= stage, layout.zero_expert_ranks, 1.0)
        return size * (dense_params / over + expert_params / expert_over)

    frozen = arch.dtype_bytes(recipe.base_dtype) if recipe.method == "lora" else WEIGHT_BYTES
    here = 1.0 - np.asarray(recipe.state_offload_ratio)
    update: Array = 0.0
    if np.any(recipe.update_bytes):
        updated = split(1.0, trained, expert * scale, 1)
        update = here * recipe.update_bytes * np.where(zero == 3, np.minimum(updated, UPDATE_PARAMS), updated)
    return (
        split(frozen, held.dense_params * scale, held.expert_params * scale, 3) + split(WEIGHT_BYTES, ends, 0.0, 3),
        split(recipe.gradient_bytes, trained, expert * scale, 2),
        split(here * (recipe.master_bytes + np.asarray(recipe.moment_bytes)), trained, expert * scale, 1),
        update,
    )


def _activations(model: Model, layout: Layout, recipe: Recipe, seq_tokens: float) -> tuple[Array, Array, Array]:
    """Return what the first and the last stage keep, and the one layer that full recompute rebuilds [bytes]."""
    rebuilt = _kept(model, layout, recipe, "none", seq_tokens)
    if np.any(recipe.compiled_ratio):
        fused = dataclasses.replace(recipe, recomputed=("norm", "activation"))
        rebuilt = np.where(recipe.compiled_ratio, _kept(model, layout, fused, "selective", seq_tokens), rebuilt)
    kept: Array = rebuilt
    for kind in RECOMPUTE[1:]:
        kept = np.where(layout.is_recompute(kind), _kept(model, layout, recipe, kind, seq_tokens), kept)
    kept = kept * (1.0 - np.asarray(recipe.offload_ratio))
    tokens = np.asarray(layout.micro_batch) * seq_tokens / np.asarray(layout.cp)
    layers, last_layers = stage_layers(model, layout)
    one_layer = np.where(layout.is_recompute("full"), rebuilt * tokens, 0.0)
    return kept * tokens * layers * in_flight(layout), kept * tokens * last_layers, one_layer


def _kept(model: Model, layout: Layout, recipe: Recipe, kind: Recompute, seq_tokens: float) -> Array:
    """Return what a token keeps in one (mean) layer with one kind of recomputation [bytes]."""
    narrowed = np.maximum(WEIGHT_BYTES - arch.dtype_bytes(recipe.compute_dtype), 0.0)
    size = arch.activation_bytes_per_token_layer(
        model, tp=layout.tp, recompute=kind, seq_tokens=seq_tokens, recomputed=recipe.recomputed,
        input_bytes=WEIGHT_BYTES - narrowed * np.asarray(recipe.narrow_kept_ratio),
    )  # fmt: skip
    if not recipe.sequence_parallel:
        size = size + 2.0 * WHOLE_ON_A_RANK[kind] * model.hidden * (1.0 - 1.0 / np.asarray(layout.tp))
    if recipe.attention == "unfused" and kind != "full" and "core_attn" not in recipe.recomputed:
        size = size + SCORE_BYTES * model.num_heads * seq_tokens / (np.asarray(layout.tp) * layout.cp)
    return size


def _gathered(model: Model, held: Shard, layout: Layout, recipe: Recipe) -> Array:
    """Return what passes between replicas [bytes].

    ZeRO-3 holds the layer at work and the next one whole, with gradients; some software also has buckets of its own.
    """
    layers, _ = stage_layers(model, layout)
    one = (held.dense_params + held.expert_params) / layers
    size = WEIGHT_BYTES + (np.asarray(recipe.gradient_bytes) / 2 if recipe.method == "full" else 0.0)
    whole_layers = np.where(np.asarray(layout.zero_stage) == 3, 2 * size * one, 0.0)
    if not np.any(recipe.bucket_bytes):
        return whole_layers
    return whole_layers + np.where(np.asarray(layout.zero_ranks) > 1, recipe.bucket_bytes, 0.0)
