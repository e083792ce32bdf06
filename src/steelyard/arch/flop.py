"""Model FLOP per token, and the activations that training keeps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np

from steelyard.arch.counts import as_floats
from steelyard.arch.parts import KEPT, parts
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


USUAL_RECOMPUTED = ("norm", "activation", "mla_up_proj")
MODULES: dict[str, tuple[str, ...]] = {  # what "selective" recomputation can name -> what it need not keep
    "norm": ("norm",),
    "layernorm": ("norm",),
    "activation": ("activation",),
    "moe_act": ("activation",),
    "mla_up_proj": ("projection",),
    "core_attn": (),  # its scores, which flash attention never keeps
    "mlp": ("activation", "dispatch", "feed_forward"),
    "moe": ("activation", "dispatch", "feed_forward"),
    "alternate": (),  # every second matrix product: half of all
    "layer": tuple(name for name in KEPT if name != "input"),
}
_NARROW = ("norm", "activation", "dispatch")  # only inputs of matrix products


def activation_bytes_per_token_layer(
    model: Model,
    *,
    tp: Array,
    recompute: Literal["none", "selective", "full"],
    seq_tokens: Array,
    recomputed: Sequence[str] = USUAL_RECOMPUTED,
    input_bytes: Array = 2.0,
) -> Array:
    """Return the bytes that one token keeps per (mean) layer for the backward pass, on one tensor-parallel rank.

    Formula: 2 bytes of every tensor that a gradient needs: inputs of matrices and norms, queries, keys, values,
    attention output, activation functions; divided by `tp` (with sequence parallelism). For the layer of GPT-3 these
    are 32 * hidden bytes: the 34 of the source without its dropout masks.

    Args:
        model: The model.
        tp: Tensor-parallel ranks, with sequence parallelism (any shape).
        recompute: "none"; "selective": what the modules of `recomputed` make is computed again; "full": only the
            layer's input is kept.
        seq_tokens: Length of the sequences (tokens, broadcasts); flash attention keeps nothing that grows with it.
        recomputed: Modules that "selective" recomputes, keys of `MODULES`; the usual ones need no matrix product but
            the up-projections of latent attention.
        input_bytes: Of an element that is only the input of a matrix product: 2, or 1 where the software keeps the
            8-bit copy that it multiplies.

    Raises:
        UnknownError: A kind of recomputation or a module that is not known.

    Source: Korthikanti et al. 2022, arXiv 2205.05198, section 4; the score term is gone with flash attention.
        Modules: DeepSeek-V3 report, arXiv 2412.19437, section 3.2.3.

    Example:
        >>> from steelyard import arch
        >>> float(activation_bytes_per_token_layer(arch.load("llama-3.1-8b"), tp=1, recompute="full", seq_tokens=4))
        8192.0
    """
    if recompute not in ("none", "selective", "full"):
        raise UnknownError(unknown("recomputation", recompute, ("none", "selective", "full")))
    if strange := [name for name in recomputed if name not in MODULES]:
        raise UnknownError(unknown("recomputed module", strange[0], MODULES))
    dropped = {part for name in recomputed for part in MODULES[name]} if recompute == "selective" else set()
    shape = np.zeros_like(as_floats(seq_tokens))
    if recompute == "full":
        inputs: Array = 2.0 * model.hidden / as_floats(tp) + shape
        return inputs
    kept = {name: size for name, size in parts(model).kept.items() if name not in dropped}
    narrow = sum(size for name, size in kept.items() if name in _NARROW)
    each = (2.0 * (sum(kept.values()) - narrow) + np.asarray(input_bytes) * narrow) / model.num_layers
    halved = 2.0 if recompute == "selective" and "alternate" in recomputed else 1.0
    result: Array = each / halved / as_floats(tp) + shape
    return result
