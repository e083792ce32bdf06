"""What a forward and a backward pass of one micro-batch consist of, from the operators of the model.

Times here are those of isolated kernels, as `device` is calibrated on them; what a whole step makes of them (gaps,
clocks under load, kernels that real software does not fuse) is calibrated and applied in `combine`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from steelyard import arch
from steelyard.arch import Model
from steelyard.device import Device, operator_time
from steelyard.device.dtypes import effective_compute_dtype, halvings_below_16_bits
from steelyard.records.operator import Operator
from steelyard.training.layout import Layout
from steelyard.training.recipe import Recipe
from steelyard.training.unfused import BACKWARD_RATIO, Unfused, unfused
from steelyard.units import Array

TILE_WIDTH = 64
"""Columns of 16 bits that one 128-byte line of shared memory holds: products of other widths run slower kernels."""

_OPERATORS: dict[str, tuple[str, ...]] = {  # a module that is recomputed -> matrix products, by their first letters
    "core_attn": ("attention.full", "attention.window", "attention.chunk", "attention.latent"),
    "mlp": ("mlp.",),
    "moe": ("moe.", "mlp."),
    "mla_up_proj": ("attention.query_up", "attention.key_value_up"),
    "alternate": ("attention.output", "mlp.down"),  # every second product; these two stand for their share
    "layer": ("",),
}
_PRODUCTS = {"gemm": "gemm_s", "grouped_gemm": "expert_s"}  # kind of operator -> field of `Products`
_OTHERS = ("attention_s", "attention_products_s", "scan_s", "elementwise_s", "ends_other_s")  # fields of `Pass`
_AT_MOST_16_BITS = ("bf16", "fp16", "fp8", "fp4", "int8")
MIDDLE_WATTS = 0.6e-12
"""TDP over bf16 peak of a middle device of today [W per FLOP/s], to which the ratio of products is calibrated."""

_ELEMENTWISE = ("moe_act", "layernorm", "norm", "activation", "layer")  # modules of memory traffic


@dataclass(frozen=True, slots=True, kw_only=True)
class Products:
    """The matrix products of a pass, at one peak of the device."""

    gemm_s: Array  # dense ones of the layers
    ragged_s: Array  # of them, those with a width that does not fill whole tiles
    expert_s: Array  # those of the experts
    ends_s: Array  # embedding and head


@dataclass(frozen=True, slots=True, kw_only=True)
class Pass:
    """One pass over the whole model for one micro-batch, on one rank of its (tp, cp, ep) group."""

    at_peak: Products  # at the printed peak
    at_power: Products  # at the peak that the device's watts feed in a device of today
    attention_s: Array
    attention_products_s: Array  # of it, the matrix products alone
    scan_s: Array  # state-space and linear-attention cores
    score_s: Array  # attention scores through memory, where the kernel is not fused
    elementwise_s: Array
    plain_s: Array  # more of it, where norms and positions are elementary operations
    quantise_s: Array  # inputs of narrow matrix products: read in 16 bits, written narrow
    expand_s: Array  # narrow frozen weights, written out in 16 bits before use
    ends_other_s: Array
    ends_plain_s: Array  # copies of logits
    work_flop: Array

    def at(self, places: npt.NDArray[np.intp]) -> Pass:
        """Return the pass at some places along the first axis; what is the same for all layouts stays as it is."""
        return cast("Pass", _at(self, places))


def _at(record: Any, places: npt.NDArray[np.intp]) -> Any:
    if dataclasses.is_dataclass(record):
        names = [item.name for item in dataclasses.fields(record)]
        return dataclasses.replace(cast("Any", record), **{name: _at(getattr(record, name), places) for name in names})
    return record[places] if np.ndim(record) else record


def forward_backward(
    model: Model, device: Device, layout: Layout, recipe: Recipe, *, seq_tokens: float
) -> tuple[Pass, Pass, Pass]:
    """Time the forward pass, the backward pass and what selective recomputation repeats of the forward one."""
    forward = arch.forward_operators(
        model,
        batch=layout.micro_batch,
        new_tokens=seq_tokens,
        tp=layout.tp,
        cp=layout.cp,
        ep=layout.ep,
        compute_dtype=recipe.compute_dtype,
        kv_dtype=None,
        expert_imbalance_ratio=recipe.imbalance_ratio,
        sequence_parallel=recipe.sequence_parallel,
    )
    backward = arch.backward_operators(
        model,
        batch=layout.micro_batch,
        seq_tokens=seq_tokens,
        tp=layout.tp,
        cp=layout.cp,
        ep=layout.ep,
        compute_dtype=recipe.compute_dtype,
        expert_imbalance_ratio=recipe.imbalance_ratio,
        trainable="all" if recipe.method == "full" else "lora",
        sequence_parallel=recipe.sequence_parallel,
    )
    again = [op for op in forward if op.place == "layer" and _recomputed(op, recipe.recomputed)]
    between = unfused(model, device, layout, recipe, seq_tokens=seq_tokens)
    return (
        _time(forward, device, recipe, between),
        _time(backward, device, recipe, _backward(between)),
        _time(again, device, recipe, _again(between, recipe.recomputed)),
    )


def _backward(between: Unfused) -> Unfused:
    return Unfused(
        score_s=BACKWARD_RATIO * between.score_s,
        joined_s=between.joined_s,
        plain_s=BACKWARD_RATIO * between.plain_s,
        logit_s=between.logit_s / 2.0,  # read once more
    )


def _again(between: Unfused, modules: tuple[str, ...]) -> Unfused:
    return Unfused(
        score_s=between.score_s if "core_attn" in modules else 0.0,
        joined_s=0.0,
        plain_s=0.0 if {*modules}.isdisjoint(_ELEMENTWISE) else between.plain_s,
        logit_s=0.0,
    )


def _recomputed(op: Operator, modules: tuple[str, ...]) -> bool:
    if op.kind in ("elementwise", "dispatch"):
        return not {*modules}.isdisjoint(_ELEMENTWISE)
    return op.name.startswith(tuple(start for name in modules for start in _OPERATORS.get(name, ())))


def _time(ops: Iterable[Operator], device: Device, recipe: Recipe, between: Unfused) -> Pass:
    spent: dict[str, Array] = dict.fromkeys(_OTHERS, 0.0)
    spent["elementwise_s"] = between.joined_s
    products = []
    narrow_bytes: Array = 0.0
    weight_bytes: Array = 0.0
    listed = tuple(ops)
    for op in listed:
        if op.kind not in _PRODUCTS:
            kind = _kind(op)
            spent[kind] = spent[kind] + op.count * operator_time(op, device)
            if kind == "attention_s":
                alone = dataclasses.replace(op, activation_bytes=0.0)
                spent["attention_products_s"] = spent["attention_products_s"] + op.count * operator_time(alone, device)
            continue
        products.append(op)
        if op.place == "layer":
            weight_bytes = weight_bytes + op.count * op.weight_bytes
            if halvings_below_16_bits(effective_compute_dtype(device, op.compute_dtype)):
                narrow_bytes = narrow_bytes + op.count * op.m * op.k * 3.0  # read in 16 bits, written in about 8
    rate = device.accelerator.hbm_bytes_per_s * device.efficiency.memory_ratio
    expanded = weight_bytes * (1.0 + arch.dtype_bytes(recipe.base_dtype) / 2.0) if recipe.base_dtype != "bf16" else 0.0
    return Pass(
        **spent,
        at_peak=_products(products, device),
        at_power=_products(products, at_power(device)),
        score_s=between.score_s,
        plain_s=between.plain_s,
        ends_plain_s=between.logit_s,
        quantise_s=narrow_bytes / rate,
        expand_s=expanded / rate,
        work_flop=sum(op.count * op.flop for op in listed),
    )


def _products(ops: Iterable[Operator], device: Device) -> Products:
    spent: dict[str, Array] = dict.fromkeys(("gemm_s", "ragged_s", "expert_s", "ends_s"), 0.0)
    for op in ops:
        seconds = op.count * operator_time(op, device)
        kind = "ends_s" if op.place != "layer" else _PRODUCTS[op.kind]
        spent[kind] = spent[kind] + seconds
        if kind == "gemm_s":
            spent["ragged_s"] = spent["ragged_s"] + np.where(_ragged(op.n) | _ragged(op.k), seconds, 0.0)
    return Products(**spent)


def at_power(device: Device) -> Device:
    """Return the device with the peaks that its watts would feed in a middle device of today, whatever it prints.

    A format of half the bits takes half the energy. Wider formats than 16 bits stay as printed.

    Example:
        >>> from steelyard.device import load
        >>> fed = at_power(load("h100")).accelerator.peak_flop_per_s
        >>> f"{fed['bf16']:.3g} {fed['fp8']:.3g}"  # 700 W / 0.6 pJ
        '1.17e+15 2.33e+15'
    """
    card = device.accelerator
    fed = {
        dtype: card.tdp_w / MIDDLE_WATTS * 2.0 ** halvings_below_16_bits(dtype) if dtype in _AT_MOST_16_BITS else rate
        for dtype, rate in card.peak_flop_per_s.items()
    }
    return dataclasses.replace(device, accelerator=dataclasses.replace(card, peak_flop_per_s=fed))


def _ragged(width: Array) -> npt.NDArray[np.bool_]:
    """Return where a width is no multiple of a tile's; narrow ones (a router, a latent) are left alone."""
    wide = np.asarray(width)
    ragged: npt.NDArray[np.bool_] = (wide % TILE_WIDTH != 0) & (wide > 16 * TILE_WIDTH)
    return ragged


def _kind(op: Operator) -> str:
    if op.place != "layer":
        return "ends_other_s"
    return {"attention": "attention_s", "scan": "scan_s"}.get(op.kind, "elementwise_s")
