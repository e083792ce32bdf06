"""Memory traffic that the operators of a model do not have: what software writes between kernels that are not fused."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from steelyard import arch
from steelyard.arch import Model
from steelyard.device import Device
from steelyard.training.layout import Layout
from steelyard.training.recipe import Recipe
from steelyard.units import Array

SCORE_BYTES = 14.0
"""Memory traffic of one attention score in 16 bits without flash attention: written by the first product, read and
written by softmax and by dropout with its mask, read by the second product."""

PLAIN_SCORE_BYTES = 38.0
"""The same where scale, mask, softmax and the casts to fp32 and back are kernels of their own."""

FUSED_SOFTMAX_TOKENS, FUSED_SOFTMAX_ROWS = 2048, 4
"""What Megatron's fused softmax takes: sequences up to this length, score matrices in multiples of this."""

NORM_BYTES, ROTARY_BYTES = 32.0, 16.0
"""What eager software moves of an element of a root-mean-square norm (cast to fp32, square, mean, product, cast back,
weight: 36 bytes), and of a query or key that it rotates (two products, negated half, joined halves, sum: 20), beyond
the 4 bytes of a kernel that does it all."""

JOIN_RATIO = 2.0  # each further part of an output is written and read once more
FUSED_LOGIT_BYTES = 6.0  # kept of a logit where the loss is one kernel; each further copy is written and read
BACKWARD_RATIO = 1.5  # input, gradient in and gradient out, where the forward pass moves input and output


@dataclass(frozen=True, slots=True, kw_only=True)
class Unfused:
    """Seconds of one micro-batch's forward pass, all layers, on one rank, at the rate of the device's memory."""

    score_s: Array  # attention scores, both halves of the mask
    joined_s: Array  # parts of attention that the steps of a context-parallel ring make
    plain_s: Array  # norms and positions of elementary operations
    logit_s: Array  # copies of logits


def unfused(model: Model, device: Device, layout: Layout, recipe: Recipe, *, seq_tokens: float) -> Unfused:
    """Return what a forward pass moves between kernels.

    Source: the kernels of Megatron-LM (`fused_softmax`) and of Transformers (`modeling_llama.py`: `LlamaRMSNorm`,
    `apply_rotary_pos_emb`), their reads and writes counted.
    """
    rate = device.accelerator.hbm_bytes_per_s * device.efficiency.memory_ratio
    rows = np.asarray(layout.micro_batch, np.float64) * seq_tokens / np.asarray(layout.cp)
    copies = np.maximum(np.asarray(recipe.logit_bytes) - FUSED_LOGIT_BYTES, 0.0)
    return Unfused(
        score_s=_score_bytes(model, layout, recipe, seq_tokens) / rate,
        joined_s=JOIN_RATIO * _parts_bytes(model, layout, seq_tokens) * rows / rate,
        plain_s=np.asarray(recipe.eager_ratio) * _plain_bytes(model, layout, recipe) * rows / rate,
        logit_s=2.0 * copies * model.vocab / np.asarray(layout.tp) * rows / rate,
    )


def _score_bytes(model: Model, layout: Layout, recipe: Recipe, seq_tokens: float) -> Array:
    if recipe.attention != "unfused":
        return 0.0
    matrices = model.num_heads / np.asarray(layout.tp) * np.asarray(layout.micro_batch, np.float64)
    fused = (matrices % FUSED_SOFTMAX_ROWS == 0) & (seq_tokens <= FUSED_SOFTMAX_TOKENS)
    each = np.where(fused, SCORE_BYTES, PLAIN_SCORE_BYTES)
    moved: Array = each * model.num_layers * matrices * seq_tokens**2 / np.asarray(layout.cp)
    return moved


def _parts_bytes(model: Model, layout: Layout, seq_tokens: float) -> Array:
    """Return the size of the further parts of a token's outputs."""
    return (np.asarray(layout.cp, np.float64) - 1.0) * arch.ring(model, seq_tokens, tp=layout.tp).output_bytes


def _plain_bytes(model: Model, layout: Layout, recipe: Recipe) -> Array:
    """Return what a token's norms and positions move beyond one kernel each.

    Models with gated feed-forward blocks (Llama and after) have norms and positions of elementary operations; those of
    before have LayerNorm, which is one kernel, and no rotation.
    """
    if not any(getattr(block, "gated", False) for layer, _ in model.layers for block in layer.blocks):
        return 0.0
    norms = sum(count * layer.norms for layer, count in model.layers)
    heads = sum(
        count * (block.heads + block.kv_heads) * block.head_dim
        for layer, count in model.layers
        for block in layer.blocks
        if isinstance(block, arch.Attention)
    )
    tp = np.asarray(layout.tp, np.float64)
    whole_on = tp if recipe.sequence_parallel else 1.0
    moved: Array = NORM_BYTES * norms * model.hidden / whole_on + ROTARY_BYTES * heads / tp
    return moved
