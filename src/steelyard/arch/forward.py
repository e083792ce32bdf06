"""The operators of one forward pass on one device of a parallel group."""

from __future__ import annotations

from typing import Literal

import numpy as np

from steelyard.arch.counts import as_floats, expert_shards
from steelyard.arch.dtypes import dtype_bytes
from steelyard.arch.formats import formats
from steelyard.arch.operators import Pass, elementwise, embedding, head, matrix, mixing
from steelyard.arch.parts import parts
from steelyard.arch.spec import Model
from steelyard.errors import InputError, UnknownError, unknown
from steelyard.records.operator import Operator
from steelyard.units import Array


def forward_operators(
    model: Model,
    *,
    batch: Array,
    new_tokens: Array,
    context_tokens: Array = 0.0,
    tp: Array = 1,
    cp: Array = 1,
    ep: Array = 1,
    weight_dtype: str | None = "bf16",
    compute_dtype: str = "bf16",
    kv_dtype: str | None = "bf16",
    logits: Literal["all", "last"] = "all",
    routed_tokens: Array | None = None,
    expert_imbalance_ratio: Array = 1.0,
    sequence_parallel: bool = False,
) -> tuple[Operator, ...]:
    """Return the operators of one forward pass, as one device of the (tp, cp, ep) group runs them.

    Prefill is `new_tokens = S, context_tokens = 0`; decode is `new_tokens = 1, context_tokens = c`; training is
    `new_tokens = S`. All quantities are numbers or arrays that broadcast.

    Args:
        model: The model.
        batch: Sequences on this data-parallel rank.
        new_tokens: New tokens of each sequence (tokens).
        context_tokens: Tokens of each sequence that are already cached (tokens).
        tp: Tensor-parallel ranks: heads, feed-forward widths and the vocabulary are divided and rounded up.
        cp: Context-parallel ranks: tokens, attention and cache are divided.
        ep: Expert-parallel ranks: experts are divided; an expert is cut over `tp / ep` devices where above 1.
        weight_dtype: Format of the weights, as in `weight_bytes`.
        compute_dtype: Format that matrices are multiplied in; head, routers and scores stay at 16 bits.
        kv_dtype: Format of the cache; None where nothing is cached (training).
        logits: The head runs for "all" new tokens (training) or for the "last" of each sequence (serving).
        routed_tokens: Tokens that all ranks of the expert group bring to its experts together (tokens); by
            default each brings as many as this one.
        expert_imbalance_ratio: Rows of the busiest expert rank to the mean over ranks, at least 1 (routing is seldom
            even); experts hit are not changed by it.
        sequence_parallel: Tensor-parallel ranks share norms and residual additions (training), not repeat them.

    Returns:
        The operators; each is one run, `count` says how many layers run it.

    Raises:
        UnknownError: A number format or kind of logits that is not known.
        InputError: An imbalance below 1.

    Assumes: causal attention exactly halved; tokens spread evenly over experts, whose weights are read only when
        a token reaches them: E * (1 - (1 - k/E)^tokens) in expectation; biases cost no FLOP.

    Source: the shapes of the matrices; DeepSeek-V2, arXiv 2405.04434, for the two forms of latent attention.

    Example:
        >>> from steelyard import arch
        >>> llama = arch.load("llama-3.1-8b")
        >>> up = next(o for o in forward_operators(llama, batch=3, new_tokens=5, tp=2) if o.name == "mlp.up_gate")
        >>> int(up.m), int(up.n), int(up.k), up.count  # 3 * 5 tokens, 2 * 14336 columns / 2 ranks
        (15, 14336, 4096, 32)
    """
    batch, new, context = as_floats(batch), as_floats(new_tokens), as_floats(context_tokens)
    tp, cp, ep = as_floats(tp), as_floats(cp), as_floats(ep)
    listed = parts(model)
    works = [(core, core.work(new, context, tp, cp), count) for core, count in listed.cores]
    expanded: Array = 0.0
    for _, work, _ in works:
        expanded = np.maximum(expanded, work.expanded_tokens)
    rows = batch * np.maximum(new / cp, np.minimum(new, 1.0))  # a single token cannot be divided
    expert_tp = expert_shards(tp, ep)
    one = Pass(
        batch=batch,
        rows=rows,
        tp=tp,
        ep=ep,
        expert_tp=expert_tp,
        routed_tokens=rows * (ep * expert_tp / tp) if routed_tokens is None else as_floats(routed_tokens),
        imbalance_ratio=_at_least_even(expert_imbalance_ratio),
        residual_ranks=tp if sequence_parallel else 1.0,
        expanded_rows=batch * expanded,
        formats=formats(model, weight_dtype),
        compute_dtype=compute_dtype,
        kv_bytes=0.0 if kv_dtype is None else dtype_bytes(kv_dtype),
    )
    if logits not in {"all", "last"}:
        raise UnknownError(unknown("kind of logits", str(logits), ("all", "last")))
    return (
        embedding(one, model),
        *(matrix(one, linear, count) for linear, count in listed.linears),
        *(mixing(one, core, work, count) for core, work, count in works),
        *(elementwise(one, traffic, count) for traffic, count in listed.traffic),
        *head(one, model, rows if logits == "all" else batch * np.minimum(new, 1.0)),
    )


def _at_least_even(imbalance: Array) -> Array:
    if np.any(np.less(imbalance, 1.0)):
        raise InputError(f"expert_imbalance_ratio is {imbalance}; the busiest rank has at least its share (1)")
    return as_floats(imbalance)
