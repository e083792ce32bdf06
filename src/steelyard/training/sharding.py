"""Which parameters one device holds, and over how many ranks its states are split further."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from steelyard import arch
from steelyard.arch import Model
from steelyard.training.layout import Layout, stage_layers
from steelyard.training.recipe import LORA_RANK, Recipe
from steelyard.units import Array


@dataclass(frozen=True, slots=True, kw_only=True)
class Whole:
    """Parameters of the whole model by how they are split."""

    dense_params: float  # in layers, split over tp
    expert_params: float  # routed experts, split over ep, or over tp where ep is 1
    embedding_params: float  # input table, on the first stage
    head_params: float  # output table and last norm; a copy of the embedding where they are tied
    tied: bool
    adapter_params: float  # of LoRA, in layers


@dataclass(frozen=True, slots=True, kw_only=True)
class Shard:
    """Parameters of one device after tp, ep and pp, before ZeRO; the two ends of the pipeline apart."""

    dense_params: Array  # of the fullest stage's layers
    expert_params: Array
    first_params: Array  # the embedding on the first stage
    last_params: Array  # the head on the last stage
    last_ratio: Array  # layers of the last stage / layers of the fullest

    def trained(self, recipe: Recipe, whole: Whole) -> tuple[Array, Array, Array, Array]:
        """Return the trained (dense, expert, first, last) parameters of the device."""
        if recipe.method == "full":
            return self.dense_params, self.expert_params, self.first_params, self.last_params
        adapters = whole.adapter_params * (self.dense_params / whole.dense_params)
        ends = 1.0 if recipe.trained_ends else 0.0
        return adapters, 0.0 * self.expert_params, ends * self.first_params, ends * self.last_params


@lru_cache(maxsize=256)
def whole(model: Model, lora_rank: int = LORA_RANK) -> Whole:
    """Return the parameters of a model by how they are split (their sum is the model, a tied head counted twice)."""
    counted = arch.count_params(model)
    tied = counted.head_params < model.vocab * model.hidden
    return Whole(
        dense_params=float(
            counted.attention_params + counted.mlp_params + counted.router_params + counted.vector_params
        ),
        expert_params=float(counted.experts_params),
        embedding_params=float(counted.embedding_params),
        head_params=float(model.vocab * model.hidden if tied else counted.head_params),
        tied=tied,
        adapter_params=_adapter_params(model, lora_rank),
    )


def _adapter_params(model: Model, rank: int) -> float:
    """Return the parameters of rank-r adapters on every dense matrix of the layers: r * (inputs + outputs)."""
    ops = arch.forward_operators(model, batch=1, new_tokens=1)
    return float(sum(op.count * rank * (op.n + op.k) for op in ops if op.place == "layer" and op.kind == "gemm"))


def shard(model: Model, layout: Layout, *, lora_rank: int = LORA_RANK) -> Shard:
    """Return the parameters of one device of the fullest pipeline stage, and of the two ends.

    Summed over the devices of one replica they give the whole model, for every tp, pp and ep that divides it.
    """
    parts = whole(model, lora_rank)
    layers, last_layers = stage_layers(model, layout)
    stage = layers / model.num_layers
    tp = np.asarray(layout.tp, np.float64)
    one_stage = np.asarray(layout.pp) == 1
    return Shard(
        dense_params=parts.dense_params * stage / tp,
        expert_params=parts.expert_params * stage / (np.asarray(layout.ep) * layout.expert_tp),
        first_params=parts.embedding_params / tp,
        last_params=np.where(one_stage & parts.tied, 0.0, parts.head_params / tp),
        last_ratio=last_layers / layers,
    )
