"""How each part of a model becomes an operator of one pass on one device."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from steelyard.arch.dtypes import dtype_bytes, wide
from steelyard.arch.formats import Formats
from steelyard.arch.parts import Core, Linear, Traffic, Work, share
from steelyard.arch.spec import Model
from steelyard.records.operator import Operator, OperatorKind
from steelyard.units import Array

ELEMENT_BYTES = 2.0
"""Activations between operators stay in 16 bits, also where matrices are multiplied in fewer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pass:
    """One pass over the model, on one device of its (tp, cp, ep) group; arrays broadcast."""

    batch: Array
    rows: Array  # tokens that this device runs through its matrices
    tp: Array
    ep: Array
    expert_tp: Array  # devices that share one expert
    routed_tokens: Array  # tokens that the experts of this device's expert group see
    imbalance_ratio: Array  # rows of the busiest expert rank to the mean
    residual_ranks: Array  # ranks that share the elementwise work on the hidden width
    expanded_rows: Array  # cached tokens whose keys and values are expanded again
    formats: Formats
    compute_dtype: str
    kv_bytes: float


def matrix(one: Pass, linear: Linear, count: int) -> Operator:
    """Return the operator of a matrix, or of the experts on this device."""
    return _experts(one, linear, count) if linear.experts > 1 else _gemm(one, linear, count)


def _gemm(one: Pass, linear: Linear, count: int) -> Operator:
    m = one.rows + one.expanded_rows if linear.expands_cache else one.rows
    n, k = share(linear.out, one.tp), share(linear.into, one.tp)
    compute = one.formats.compute(linear.name, linear.group, one.compute_dtype)
    return Operator(
        name=linear.name,
        kind="gemm",
        place="layer",
        count=count,
        flop=m * (2 * n * k),
        weight_bytes=n * (k + 1 if linear.bias else k) * one.formats.param_bytes(linear.name, linear.group),
        activation_bytes=m * (k * dtype_bytes(compute) + n * ELEMENT_BYTES),
        m=m,
        n=n,
        k=k,
        compute_dtype=compute,
    )


def _experts(one: Pass, linear: Linear, count: int) -> Operator:
    n, k = share(linear.out, one.expert_tp), share(linear.into, one.expert_tp)
    copies = one.routed_tokens * (one.imbalance_ratio * linear.top_k / one.ep)  # rows of all experts on this device
    hit = experts_hit(linear.experts, linear.top_k, one.routed_tokens, one.ep)
    compute = one.formats.compute(linear.name, linear.group, one.compute_dtype)
    return Operator(
        name=linear.name,
        kind="grouped_gemm",
        place="layer",
        count=count,
        flop=copies * (2 * n * k),
        weight_bytes=hit * (n * (k + 1 if linear.bias else k) * one.formats.param_bytes(linear.name, linear.group)),
        activation_bytes=copies * (k * dtype_bytes(compute) + n * ELEMENT_BYTES),
        m=copies,
        n=n,
        k=k,
        groups=hit,
        compute_dtype=compute,
    )


def experts_hit(experts: int, top_k: int, tokens: Array, ep: Array = 1.0) -> Array:
    """Return the experts on one device that at least one of `tokens` is expected to reach (count).

    Formula: E / ep * (1 - (1 - k / E)^tokens), with routing uniform and independent.

    Example:
        >>> float(experts_hit(8, 2, 1.0)), round(float(experts_hit(8, 2, 4.0)), 3)  # 8 * (1 - 0.75^4)
        (2.0, 5.469)
    """
    held = np.ceil(experts / ep)
    missed = np.exp(np.log1p(-top_k / experts) * tokens) if top_k < experts else 1 - np.minimum(tokens, 1.0)
    hit: Array = held * (1 - missed)
    return hit


def mixing(one: Pass, core: Core, work: Work, count: int) -> Operator:
    """Return the operator of an attention or state core; without a cache a state never leaves the pass."""
    return Operator(
        name=core.name,
        kind=core.kind,
        place="layer",
        count=count,
        flop=one.batch * work.flop,
        weight_bytes=0.0,
        activation_bytes=one.batch * ELEMENT_BYTES * work.activation_elements,
        cache_bytes=one.batch * (one.kv_bytes * work.cache_elements + (work.state_bytes if one.kv_bytes else 0.0)),
        compute_dtype=wide(one.compute_dtype),
    )


def elementwise(one: Pass, traffic: Traffic, count: int) -> Operator:
    """Return the operator of the norms, additions, positions and activation functions of a layer.

    Where tokens are routed: of their ways to the experts and back, and of the activation functions between.
    """
    if traffic.top_k:
        rows = one.routed_tokens * (one.imbalance_ratio * traffic.top_k / one.ep)
        elements = traffic.residual + share(traffic.sharded, one.expert_tp)
    else:
        rows = one.rows
        elements = traffic.residual / one.residual_ranks + share(traffic.sharded, one.tp)
    kind: OperatorKind = "dispatch" if traffic.top_k else "elementwise"
    return _traffic(one, traffic.name, rows * (elements * ELEMENT_BYTES), count, kind)


def embedding(one: Pass, model: Model) -> Operator:
    """Return the lookup: only the rows of the tables that are looked up are read."""
    width = model.hidden * (2 if model.learned_positions else 1) + model.layer_embedding
    return Operator(
        name="embedding",
        kind="embedding",
        place="embedding",
        count=1,
        flop=0.0,
        weight_bytes=one.rows * (width * one.formats.param_bytes("embedding", "embedding") / one.tp),
        activation_bytes=one.rows * ((model.hidden + model.layer_embedding) * ELEMENT_BYTES),
        compute_dtype=wide(one.compute_dtype),
    )


def head(one: Pass, model: Model, rows: Array) -> tuple[Operator, Operator]:
    """Return the output matrix over `rows`, and the work around it: last norm before, softmax after."""
    n, k = share(((model.vocab, 1),), one.tp), float(model.hidden)
    logits = Operator(
        name="head",
        kind="gemm",
        place="head",
        count=1,
        flop=rows * (2 * n * k),
        weight_bytes=n * (k + 1 if model.head_bias else k) * one.formats.param_bytes("head", "head"),
        activation_bytes=rows * ((k + n) * ELEMENT_BYTES),
        m=rows,
        n=n,
        k=k,
        compute_dtype=wide(one.compute_dtype),
    )
    normed = one.rows * (2 * model.hidden * ELEMENT_BYTES / one.residual_ranks)
    return logits, _traffic(one, "head.elementwise", normed + rows * (n * ELEMENT_BYTES), 1)


def _traffic(one: Pass, name: str, moved_bytes: Array, count: int, kind: OperatorKind = "elementwise") -> Operator:
    return Operator(
        name=name,
        kind=kind,
        place="head" if name.startswith("head") else "layer",
        count=count,
        flop=0.0,
        weight_bytes=0.0,
        activation_bytes=moved_bytes,
        compute_dtype=wide(one.compute_dtype),
    )
