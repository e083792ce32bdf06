"""Softmax attention with grouped key-value heads: what a pass over it costs, what is cached."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from steelyard.arch.indexer import index_parts
from steelyard.arch.pairs import causal_pairs, in_chunk
from steelyard.arch.parts import BLOCKS, Block, Core, Linear, Work, share, whole
from steelyard.arch.spec import Attention
from steelyard.units import Array


@dataclass(frozen=True, slots=True, kw_only=True)
class SoftmaxCore(Core):
    """Scores and values with keys and values of grouped heads in the cache (one flash kernel)."""

    name: str
    heads: int
    kv_heads: int
    head_dim: int  # of queries and keys
    value_dim: int
    window: int = 0
    chunked: bool = False
    selected: int = 0  # keys that an indexer leaves of all that are cached; 0: all
    own_cache: bool = True

    @property
    def seen(self) -> int:
        """Keys that a query looks at, at most (0: all)."""
        return min((limit for limit in (self.window, self.selected) if limit), default=0)

    def work(self, new_tokens: Array, context_tokens: Array, tp: Array, cp: Array) -> Work:
        """Return the work: every cached token that a query sees is read once per sequence, new ones are written."""
        heads = share(((self.heads, 1),), tp)
        both = self.head_dim + self.value_dim
        kv = share(((self.kv_heads, both),), tp)
        pairs = causal_pairs(new_tokens, context_tokens, self.seen, chunked=self.chunked)
        read = context_tokens
        if self.window:
            read = in_chunk(read, self.window) if self.chunked else np.minimum(read, self.window - 1)
        if self.selected:
            read = np.minimum(read, self.selected * new_tokens)
        written = new_tokens if self.own_cache else 0.0
        return Work(
            flop=pairs * (2 * both * heads / cp),
            cache_elements=(read + written) * (kv / cp),
            activation_elements=new_tokens * ((both * heads + kv) / cp),
        )

    def full_flop(self, seq_tokens: Array) -> Array:
        """Return the FLOP without a causal mask; a window still limits it."""
        seen = np.minimum(seq_tokens, self.seen) if self.seen else seq_tokens
        return 2 * self.heads * (self.head_dim + self.value_dim) * seq_tokens * seen

    def output_elements(self, tp: Array) -> Array:
        """Return the values that all heads hand on."""
        return share(((self.heads, self.value_dim),), tp)

    def cache_elements(self, context_tokens: Array, tp: Array) -> Array:
        """Return keys and values of the tokens that a later query can still see."""
        if not self.own_cache:
            return 0.0 * context_tokens * tp
        held = np.minimum(context_tokens, self.window) if self.window else context_tokens
        return share(((self.kv_heads, self.head_dim + self.value_dim),), tp) * held


def _core_name(spec: Attention) -> str:
    if spec.index:
        return f"attention.selected_{spec.index.selected}"
    kind = "chunk" if spec.chunked else "window"
    return f"attention.{kind}_{spec.window}" if spec.window else "attention.full"


def grouped_query(spec: Attention, hidden: int) -> Block:
    """Return the parts of softmax attention (multi-head, grouped-query, multi-query)."""
    heads, kv_heads, dim, value = spec.heads, spec.kv_heads, spec.head_dim, spec.value_dim
    queries, outputs, keys = heads * dim, heads * value, kv_heads * dim
    # q, k, v, output, the softmax's fp32 sums
    kept = queries + outputs + keys + kv_heads * value + 2 * heads
    if spec.norm_params:
        kept += queries + keys  # queries and keys before their norms
    gate = {"": (), "element": ((heads, value),), "head": ((heads, 1),)}[spec.gate]
    projected = ((kv_heads, dim if spec.key_is_value else dim + value),) if spec.own_cache else ()
    linears, cores, index_params = index_parts(spec.index, hidden) if spec.index else ((), (), 0)
    return Block(
        linears=(
            Linear(
                name="attention.query_key_value",
                group="attention",
                out=((heads, dim), *projected, *gate),
                into=((1, hidden),),
                bias=spec.qkv_bias,
            ),
            Linear(
                name="attention.output",
                group="attention",
                out=((1, hidden),),
                into=((heads, value),),
                bias=spec.output_bias,
            ),
            *linears,
        ),
        vector_params=spec.norm_params + (heads if spec.sinks else 0) + index_params,
        cores=(
            SoftmaxCore(
                name=_core_name(spec),
                heads=heads,
                kv_heads=kv_heads,
                head_dim=dim,
                value_dim=value,
                window=spec.window,
                chunked=spec.chunked,
                selected=spec.index.selected if spec.index else 0,
                own_cache=spec.own_cache,
            ),
            *cores,
        ),
        # positions and norms read and write queries and keys; a gate reads itself and the output it scales
        moved=((heads, 2 * dim), (kv_heads, 2 * dim), *(((heads, 3 * value),) if spec.gate else ())),
        kept={"norm": hidden, "attention": kept + whole(gate) + (outputs if gate else 0)},
    )


BLOCKS[Attention] = grouped_query
