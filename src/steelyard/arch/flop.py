"""Model FLOP per token, and the activations that training keeps."""

from __future__ import annotations

from typing import Literal

import numpy as np

from steelyard.arch.counts import as_floats
from steelyard.arch.parts import parts
from steelyard.arch.spec import Model
from steelyard.errors import UnknownError, unknown
from steelyard.units import Array


def matmul_params(model: Model) -> int:
    """Return the parameters that one token is multiplied with: active matrices and the head, no embedding lookup."""
    layers = sum(linear.matrix_params * linear.top_k * count for linear, count in parts(model).linears)
    return layers + model.vocab * model.hidden


def flop_per_token(
    model: Model,
    seq_tokens: Array,
    *,
    training: bool,
    attention: Literal["causal", "full", "none"] = "causal",
) -> Array:
    """Return the model FLOP per token, without any recomputation (flop).

    Formula: (2 * matmul parameters + attention) * (3 when training); attention is the scores and values of the pairs
    that a causal mask leaves ("causal"), of all pairs ("full", twice as many), or left out ("none": the 6 N rule).

    Args:
        model: The model.
        seq_tokens: Length of the sequences (tokens, any shape).
        training: Forward and backward (three forward passes) or forward only.
        attention: Convention for the attention scores.

    Source: PaLM, arXiv 2204.02311, appendix B (model FLOP count no recomputation).

    Example:
        >>> from steelyard import arch
        >>> llama = arch.load("llama-3.1-8b")  # 6 * (8,030,261,248 - embedding 525,336,576 - norms 266,240)
        >>> flop_per_token(llama, 8192.0, training=True, attention="none")
        45027950592.0
    """
    seq = as_floats(seq_tokens)
    forward: Array = 2.0 * matmul_params(model) + 0.0 * seq
    for core, count in parts(model).cores:
        if attention == "causal":
            forward = forward + core.work(seq, 0.0, 1.0, 1.0).flop * (count / seq)
        elif attention == "full":
            forward = forward + core.full_flop(seq) * (count / seq)
        elif attention != "none":
            raise UnknownError(unknown("attention convention", attention, ("causal", "full", "none")))
    return forward * (3.0 if training else 1.0)


def activation_bytes_per_token_layer(
    model: Model,
    *,
    tp: Array,
    recompute: Literal["none", "selective", "full"],
    seq_tokens: Array,
) -> Array:
    """Return the bytes that one token keeps per (mean) layer for the backward pass, on one tensor-parallel rank.

    Formula: 2 bytes of every tensor that a gradient needs: inputs of matrices and norms, queries, keys, values,
    attention output, activation functions; divided by `tp` (with sequence parallelism). For the layer of GPT-3 these
    are 32 * hidden bytes: the 34 of the source without its dropout masks.

    Args:
        model: The model.
        tp: Tensor-parallel ranks, with sequence parallelism (any shape).
        recompute: "none"; "selective": outputs of norms and activation functions are computed again, which costs no
            matrix product; "full": only the layer's input is kept.
        seq_tokens: Length of the sequences (tokens, broadcasts); flash attention keeps nothing that grows with it.

    Source: Korthikanti et al. 2022, arXiv 2205.05198, section 4; the score term is gone with flash attention.

    Example:
        >>> from steelyard import arch
        >>> float(activation_bytes_per_token_layer(arch.load("llama-3.1-8b"), tp=1, recompute="full", seq_tokens=4))
        8192.0
    """
    listed = parts(model)
    kept = {
        "none": listed.kept_elements / model.num_layers,
        "selective": (listed.kept_elements - listed.cheap_elements) / model.num_layers,
        "full": float(model.hidden),
    }
    if recompute not in kept:
        raise UnknownError(unknown("recomputation", recompute, kept))
    return 2.0 * kept[recompute] / as_floats(tp) + np.zeros_like(as_floats(seq_tokens))
