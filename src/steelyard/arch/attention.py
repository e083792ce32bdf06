"""Attention: how many keys each query sees, what that costs, what is cached."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from steelyard.arch.parts import BLOCKS, Block, Linear, Work, share
from steelyard.arch.spec import Attention, LatentAttention
from steelyard.units import Array


def causal_pairs(new_tokens: Array, context_tokens: Array, window: int = 0, *, chunked: bool = False) -> Array:
    """Return the query-key pairs of one head over one sequence (count).

    Formula: the sum over i = 1..new of min(window, context + i), in closed form; with chunks, the sum of the
    positions within the chunk.

    Args:
        new_tokens: Queries (tokens, any shape).
        context_tokens: Tokens before them (tokens, broadcasts).
        window: Keys that a query sees at most, itself included; 0 means all.
        chunked: The window is the fixed chunk of positions that a query lies in.

    Example:
        >>> float(causal_pairs(4.0, 0.0)), float(causal_pairs(4.0, 0.0, 2))  # 1+2+3+4, 1+2+2+2
        (10.0, 7.0)
        >>> float(causal_pairs(1.0, 9.0)), float(causal_pairs(4.0, 0.0, 3, chunked=True))  # 10, 1+2+3+1
        (10.0, 7.0)
    """
    if not window:
        return new_tokens * (context_tokens + 0.5 * (new_tokens + 1))
    if chunked:
        return _chunk_pairs(context_tokens + new_tokens, window) - _chunk_pairs(context_tokens, window)
    growing = np.minimum(np.maximum(window - context_tokens, 0.0), new_tokens)
    pairs: Array = growing * (context_tokens + 0.5 * (growing + 1)) + (new_tokens - growing) * window
    return pairs


def _chunk_pairs(tokens: Array, chunk: int) -> Array:
    full = np.floor(tokens / chunk)
    rest = _in_chunk(tokens, chunk)
    pairs: Array = full * (chunk * (chunk + 1) / 2) + rest * (rest + 1) / 2
    return pairs


def _in_chunk(tokens: Array, chunk: int) -> Array:
    rest: Array = tokens - np.floor(tokens / chunk) * chunk
    return rest


@dataclass(frozen=True, slots=True, kw_only=True)
class SoftmaxCore:
    """Scores and values with keys and values of grouped heads in the cache (one flash kernel)."""

    name: str
    heads: int
    kv_heads: int
    head_dim: int
    window: int
    chunked: bool

    def work(self, new_tokens: Array, context_tokens: Array, tp: Array, cp: Array) -> Work:
        """Return the work: every cached token that a query sees is read once per sequence, new ones are written."""
        heads = share(((self.heads, 1),), tp)
        kv = share(((self.kv_heads, 2 * self.head_dim),), tp)
        pairs = causal_pairs(new_tokens, context_tokens, self.window, chunked=self.chunked)
        read = context_tokens
        if self.window:
            last = self.window - 1
            read = _in_chunk(read, self.window) if self.chunked else np.minimum(read, last)
        return Work(
            flop=pairs * (4 * self.head_dim * heads / cp),
            cache_elements=(read + new_tokens) * (kv / cp),
            activation_elements=new_tokens * ((2 * self.head_dim * heads + kv) / cp),
        )

    def full_flop(self, seq_tokens: Array) -> Array:
        """Return the FLOP without a causal mask; a window still limits it."""
        seen = np.minimum(seq_tokens, self.window) if self.window else seq_tokens
        return 4 * self.heads * self.head_dim * seq_tokens * seen

    def cache_elements(self, context_tokens: Array, tp: Array) -> Array:
        """Return keys and values of the tokens that a later query can still see."""
        seen = np.minimum(context_tokens, self.window) if self.window else context_tokens
        return share(((self.kv_heads, 2 * self.head_dim),), tp) * seen


@dataclass(frozen=True, slots=True, kw_only=True)
class LatentCore:
    """Latent attention in the cheaper of its two forms: on the latent itself (decode) or expanded (prefill).

    On the latent, queries and outputs are rotated into it, which costs a new token as much as expanding it would,
    and every pair costs the latent's width. Expanded, every pair costs the head's width, and the cached tokens
    are expanded first. Both forms read the same cache.
    """

    name: str
    heads: int
    kv_lora_rank: int
    nope_head_dim: int
    rope_head_dim: int
    v_head_dim: int

    @property
    def head_dim(self) -> int:
        return self.nope_head_dim + self.rope_head_dim

    def work(self, new_tokens: Array, context_tokens: Array, tp: Array, cp: Array) -> Work:
        """Return the work of the form with fewer FLOP, chosen for each element of the arrays."""
        heads = share(((self.heads, 1),), tp)
        pairs = causal_pairs(new_tokens, context_tokens)
        latent = self.kv_lora_rank + self.rope_head_dim
        on_latent = 2 * (latent + self.kv_lora_rank) * pairs
        expanded = 2 * (self.head_dim + self.v_head_dim) * pairs
        expand = 2 * self.kv_lora_rank * (self.nope_head_dim + self.v_head_dim) * context_tokens
        absorbed = on_latent < expanded + expand
        expanded_tokens = np.where(absorbed, 0.0, context_tokens)
        own = np.where(absorbed, latent + self.kv_lora_rank, self.head_dim + self.v_head_dim)
        keys_values = np.where(absorbed, 0.0, self.head_dim + self.v_head_dim)
        return Work(
            flop=heads * np.where(absorbed, on_latent, expanded) / cp,
            cache_elements=latent * (context_tokens + new_tokens) / cp,
            activation_elements=heads * (own * new_tokens + keys_values * (new_tokens + expanded_tokens)) / cp,
            expanded_tokens=expanded_tokens / cp,
        )

    def full_flop(self, seq_tokens: Array) -> Array:
        """Return the FLOP without a causal mask, keys and values expanded."""
        return 2 * self.heads * (self.head_dim + self.v_head_dim) * seq_tokens * seq_tokens

    def cache_elements(self, context_tokens: Array, tp: Array) -> Array:
        """Return the latents, which every tensor-parallel rank holds whole."""
        return (self.kv_lora_rank + self.rope_head_dim) * context_tokens + 0.0 * tp


def grouped_query(spec: Attention, hidden: int) -> Block:
    """Return the parts of softmax attention (multi-head, grouped-query, multi-query)."""
    heads, kv_heads, dim = spec.heads, spec.kv_heads, spec.head_dim
    queries, keys_values = heads * dim, 2 * kv_heads * dim
    kind = "chunk" if spec.chunked else "window"
    kept = hidden + 2 * queries + keys_values + 2 * heads  # input, q, k, v, output, the softmax's fp32 sums
    if spec.norm_params:
        kept += queries + keys_values // 2  # queries and keys before their norms
    return Block(
        linears=(
            Linear(
                name="attention.query_key_value",
                group="attention",
                out=((heads, dim), (kv_heads, 2 * dim)),
                into=((1, hidden),),
                bias=spec.qkv_bias,
            ),
            Linear(
                name="attention.output",
                group="attention",
                out=((1, hidden),),
                into=((heads, dim),),
                bias=spec.output_bias,
            ),
        ),
        vector_params=spec.norm_params + (heads if spec.sinks else 0),
        cores=(
            SoftmaxCore(
                name=f"attention.{kind}_{spec.window}" if spec.window else "attention.full",
                heads=heads,
                kv_heads=kv_heads,
                head_dim=dim,
                window=spec.window,
                chunked=spec.chunked,
            ),
        ),
        moved=((heads, 2 * dim), (kv_heads, 2 * dim)),  # positions and norms read and write queries and keys
        kept_elements=kept,
        cheap_elements=hidden,
    )


def latent(spec: LatentAttention, hidden: int) -> Block:
    """Return the parts of multi-head latent attention."""
    heads, rank, rope, v_dim = spec.heads, spec.kv_lora_rank, spec.rope_head_dim, spec.v_head_dim
    qk_dim = spec.nope_head_dim + rope
    down = spec.q_lora_rank or 0
    first = ((1, down + rank + rope),) if down else ((heads, qk_dim), (1, rank + rope))
    query_up = Linear(name="attention.query_up", group="attention", out=((heads, qk_dim),), into=((1, down),))
    return Block(
        linears=(
            Linear(name="attention.down", group="attention", out=first, into=((1, hidden),), bias=spec.bias),
            *((query_up,) if down else ()),
            Linear(
                name="attention.key_value_up",
                group="attention",
                out=((heads, spec.nope_head_dim + v_dim),),
                into=((1, rank),),
                expands_cache=True,
            ),
            Linear(
                name="attention.output",
                group="attention",
                out=((1, hidden),),
                into=((heads, v_dim),),
                bias=spec.bias,
            ),
        ),
        vector_params=down + rank,  # the norms on the two latents
        cores=(
            LatentCore(
                name="attention.latent",
                heads=heads,
                kv_lora_rank=rank,
                nope_head_dim=spec.nope_head_dim,
                rope_head_dim=rope,
                v_head_dim=v_dim,
            ),
        ),
        moved=((heads, 2 * rope), (1, 2 * (down + rank + rope))),
        kept_elements=hidden + 2 * (down + rank) + rope + heads * (2 * qk_dim + 2 * v_dim + 2),
        cheap_elements=hidden + down + rank,
    )


BLOCKS[Attention] = grouped_query
BLOCKS[LatentAttention] = latent
