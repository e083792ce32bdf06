"""What a model is: layers made of blocks. Shapes only, no names of models and no formulas."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Attention:
    """Softmax attention with grouped key-value heads (multi-head: kv_heads = heads; multi-query: 1)."""

    heads: int
    kv_heads: int
    head_dim: int
    window: int = 0  # tokens a query sees, itself included; 0: all
    chunked: bool = False  # the window is a fixed chunk of positions, not a sliding one
    qkv_bias: bool = False
    output_bias: bool = False
    norm_params: int = 0  # weights of norms on queries and keys
    sinks: bool = False  # one learned logit per head


@dataclass(frozen=True, slots=True, kw_only=True)
class LatentAttention:
    """Multi-head latent attention (MLA): keys and values are read from one low-rank latent that is cached.

    Source: DeepSeek-V2, arXiv 2405.04434, section 2.1.
    """

    heads: int
    q_lora_rank: int  # 0: queries are projected directly
    kv_lora_rank: int
    nope_head_dim: int
    rope_head_dim: int
    v_head_dim: int
    bias: bool = False

    @property
    def kv_heads(self) -> int:
        return self.heads


@dataclass(frozen=True, slots=True, kw_only=True)
class Mlp:
    """Feed-forward block: two matrices, or three when gated."""

    ffn: int
    gated: bool = True
    bias: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Moe:
    """Mixture of experts: each token runs `top_k` of `experts`, and all shared experts."""

    experts: int
    top_k: int
    ffn: int  # of one expert
    gated: bool = True
    bias: bool = False
    router_params: int = 0  # router weights outside its matrix (bias, balancing bias)
    shared_ffn: int = 0  # of all shared experts together
    shared_gate: bool = False  # a learned scalar weighs the shared expert


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """Blocks in the order they run, with the norms and residual additions around them."""

    blocks: tuple[Any, ...]
    norms: int
    parallel: bool = False  # blocks read the same input and share one residual addition


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """How the checkpoint stores one group of matrices."""

    group: str  # "attention", "mlp", "experts", "shared_experts"
    dtype: str
    param_bytes: float  # scales included


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """A decoder-only transformer: equal layers are held once with their count."""

    id: str
    name: str
    hidden: int
    vocab: int
    layers: tuple[tuple[Layer, int], ...]
    max_context_tokens: int
    weight_dtype: str = "bf16"  # as stored; of the quantised matrices where there are any
    base_dtype: str = "bf16"  # as stored; of everything else
    stored: tuple[Stored, ...] = ()  # the quantised groups
    tied_embeddings: bool = False
    head_bias: bool = False
    norm_bias: bool = False
    learned_positions: int = 0
    ignored: tuple[str, ...] = ()  # parts of the configuration that are left out of the model, for the user

    @property
    def num_layers(self) -> int:
        return sum(count for _, count in self.layers)

    @property
    def num_moe_layers(self) -> int:
        return sum(count for layer, count in self.layers if any(isinstance(block, Moe) for block in layer.blocks))

    @property
    def num_heads(self) -> int:
        return max((block.heads for block in self._attentions()), default=0)

    @property
    def num_kv_heads(self) -> int:
        return max((block.kv_heads for block in self._attentions()), default=0)

    @property
    def num_experts(self) -> int:
        return max((moe.experts for moe in self._moes()), default=0)

    @property
    def top_k(self) -> int:
        return max((moe.top_k for moe in self._moes()), default=0)

    def _attentions(self) -> list[Attention | LatentAttention]:
        return [b for layer, _ in self.layers for b in layer.blocks if isinstance(b, (Attention, LatentAttention))]

    def _moes(self) -> list[Moe]:
        return [block for layer, _ in self.layers for block in layer.blocks if isinstance(block, Moe)]
