"""What a model is: layers made of blocks. Shapes only, no names of models and no formulas.

The specifications of attention and feed-forward blocks stand here; kinds that few models have (`compressed`,
`recurrent`, `prediction`) keep theirs beside the function that says what they consist of.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class Indexer:
    """A small attention that scores all keys, so that the attention proper looks only at the best of them.

    Source: DeepSeek-V3.2-Exp report, section 2.1 (lightning indexer).
    """

    heads: int
    head_dim: int
    selected: int  # tokens that a query keeps
    query_rank: int = 0  # its queries are read from the latent of the attention's queries; 0: from the hidden state
    weighted: bool = False  # a learned weight for each head and token
    norm_params: int = 0
    shared: bool = False  # the choice of an earlier layer is used again: nothing of its own


@dataclass(frozen=True, slots=True, kw_only=True)
class Attention:
    """Softmax attention with grouped key-value heads (multi-head: kv_heads = heads; multi-query: 1)."""

    heads: int
    kv_heads: int
    head_dim: int
    v_head_dim: int = 0  # of values, where it differs from that of queries and keys
    window: int = 0  # tokens a query sees, itself included; 0: all
    chunked: bool = False  # the window is a fixed chunk of positions, not a sliding one
    qkv_bias: bool = False
    output_bias: bool = False
    norm_params: int = 0  # weights of norms on queries and keys
    sinks: bool = False  # one learned logit per head
    gate: Literal["", "element", "head"] = ""  # a learned gate on the output: per element or per head
    key_is_value: bool = False  # one projection serves as keys and as values
    own_cache: bool = True  # False: reads the keys and values of an earlier layer
    index: Indexer | None = None

    @property
    def value_dim(self) -> int:
        return self.v_head_dim or self.head_dim


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
    index: Indexer | None = None

    @property
    def kv_heads(self) -> int:
        return self.heads


@dataclass(frozen=True, slots=True, kw_only=True)
class Mlp:
    """Feed-forward block: two matrices, or three when gated."""

    ffn: int
    gated: bool = True
    bias: bool = False
    vector_params: int = 0  # of a learned activation function


@dataclass(frozen=True, slots=True, kw_only=True)
class Moe:
    """Mixture of experts: each token runs `top_k` of `experts`, and all shared experts."""

    experts: int
    top_k: int
    ffn: int  # of one expert
    gated: bool = True
    bias: bool = False
    top_groups: int = 0  # of the groups that experts are laid out in, those that a token's experts come from; 0: any
    latent: int = 0  # width that tokens are brought down to before they go to experts; 0: none
    router_params: int = 0  # router weights outside its matrix (bias)
    router_buffers: int = 0  # stored beside them, not parameters: corrections that balance the load of experts
    shared_ffn: int = 0  # of all shared experts together
    shared_gate: bool = False  # a learned scalar weighs the shared expert


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """Blocks in the order they run, with the norms and residual additions around them."""

    blocks: tuple[Any, ...]
    norms: int
    parallel: bool = False  # blocks read the same input and share one residual addition
    streams: int = 1  # residual streams that hyper-connections mix around each block


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """How the checkpoint stores one matrix of each layer that has it."""

    name: str  # "mlp.down"; "head", "embedding"
    dtype: str
    param_bytes: float  # scales included; the mean over layers


@dataclass(frozen=True, slots=True, kw_only=True)
class Tower:
    """A part beside the language model (images, sound): its parameters are counted, its work is not."""

    name: str
    params: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """A decoder-only transformer: equal layers are held once with their count."""

    id: str
    name: str
    hidden: int
    vocab: int
    layers: tuple[tuple[Layer, int], ...]
    max_context_tokens: int
    order: tuple[int, ...] = ()  # for each layer of the stack, which of `layers` it is
    prediction: tuple[tuple[Layer, int], ...] = ()  # multi-token-prediction layers, run after the last one
    towers: tuple[Tower, ...] = ()
    weight_dtype: str = "bf16"  # as stored; of the quantised matrices where there are any
    base_dtype: str = "bf16"  # as stored; of everything else
    kv_dtype: str = "bf16"  # of the cache, as the checkpoint asks for it
    stored: tuple[Stored, ...] = ()  # the quantised matrices
    prediction_stored: tuple[Stored, ...] | None = ()  # those of the prediction layers; None: the file does not tell
    tower_dtype: str | None = None  # as stored; None: the file does not tell
    tied_embeddings: bool = False
    head_bias: bool = False
    norm_vectors: int = 1  # of each norm: scale (1), scale and shift (2), none (0)
    outer_norms: int = 1  # norms before the first and after the last layer
    outer_params: int = 0  # other vectors there
    learned_positions: int = 0
    layer_embedding: int = 0  # numbers per token that a second table holds for all layers together
    ignored: tuple[str, ...] = ()  # parts of the configuration that are left out of the model, for the user
    defaults: tuple[str, ...] = ()  # keys that were left out, with what their class has by default
    harmless_keys: tuple[str, ...] = ()  # stated keys that change neither time nor memory
    assumed: str = ""  # what of its catalogue record was read nowhere, for the user

    @property
    def warnings(self) -> tuple[str, ...]:
        """What an answer about the model should be read with."""
        return (f"{self.id} is assumed in part: {self.assumed}",) if self.assumed else ()

    @property
    def num_layers(self) -> int:
        return sum(count for _, count in self.layers)

    @property
    def num_moe_layers(self) -> int:
        return sum(count for layer, count in self.layers if any(isinstance(block, Moe) for block in layer.blocks))

    @property
    def num_heads(self) -> int:
        """Heads of the widest attention, or of the widest state where no layer attends."""
        return max((block.heads for block in self._mixers()), default=0)

    @property
    def num_kv_heads(self) -> int:
        """Heads that keys and values (or states) are cached for."""
        return max((getattr(block, "kv_heads", block.heads) for block in self._mixers()), default=0)

    @property
    def num_experts(self) -> int:
        return max((moe.experts for moe in self._moes()), default=0)

    @property
    def routed_width(self) -> int:
        """Width in which a token travels to its experts: the hidden one, or a latent that it is brought down to."""
        return max((moe.latent or self.hidden for moe in self._moes()), default=self.hidden)

    @property
    def top_k(self) -> int:
        return max((moe.top_k for moe in self._moes()), default=0)

    @property
    def top_groups(self) -> int:
        """Groups of experts (a node holds one or more) that a token is sent to at most; 0: no such limit."""
        return max((moe.top_groups for moe in self._moes()), default=0)

    def _mixers(self) -> list[Any]:
        mixers = [block for layer, _ in self.layers for block in layer.blocks if hasattr(block, "heads")]
        return [block for block in mixers if hasattr(block, "kv_heads")] or mixers

    def _moes(self) -> list[Moe]:
        return [block for layer, _ in self.layers for block in layer.blocks if isinstance(block, Moe)]
