"""Attention over a window and over compressed entries of everything before it (DeepSeek-V4)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from steelyard.arch.pairs import causal_pairs
from steelyard.arch.parts import BLOCKS, Block, Core, Linear, Work, share
from steelyard.units import Array


@dataclass(frozen=True, slots=True, kw_only=True)
class CompressedAttention:
    """Multi-query attention whose one key is also its value, over the last tokens and one entry per `ratio` tokens.

    With an index, a query keeps the best `selected` entries only, and neighbouring entries overlap.

    Source: DeepSeek-V4 report, section 2.3.
    """

    heads: int
    head_dim: int
    q_lora_rank: int
    o_groups: int
    o_lora_rank: int
    window: int
    ratio: int = 0  # tokens per compressed entry; 0: the window only
    index_heads: int = 0
    index_head_dim: int = 0
    selected: int = 0  # entries that a query keeps; 0: all

    @property
    def kv_heads(self) -> int:
        return 1


def entry_pairs(new_tokens: Array, context_tokens: Array, ratio: int, selected: int = 0) -> Array:
    """Return the pairs of queries with complete entries (count).

    Formula: the sum over positions of floor(position / ratio), each at most `selected`.

    Example:
        >>> float(entry_pairs(8.0, 0.0, 4)), float(entry_pairs(8.0, 0.0, 2, 3))  # 0,0,0,1,1,1,1,2; 0,1,1,2,2,3,3,3
        (6.0, 15.0)
    """
    last = context_tokens + new_tokens
    pairs: Array = _entries_up_to(last, ratio, selected) - _entries_up_to(context_tokens, ratio, selected)
    return pairs


def _entries_up_to(tokens: Array, ratio: int, selected: int) -> Array:
    growing = np.minimum(tokens, selected * ratio - 1.0) if selected else tokens
    full = np.floor(growing / ratio)
    pairs: Array = ratio * full * (full - 1) / 2 + full * (growing - full * ratio + 1)
    return pairs + (tokens - growing) * selected


@dataclass(frozen=True, slots=True, kw_only=True)
class CompressedCore(Core):
    """Scores and values on the window and on the (selected) compressed entries."""

    name: str
    heads: int
    head_dim: int
    window: int
    ratio: int
    selected: int

    def work(self, new_tokens: Array, context_tokens: Array, tp: Array, cp: Array) -> Work:
        """Return the work; every rank reads the one key that all heads share."""
        heads = share(((self.heads, 1),), tp)
        pairs = causal_pairs(new_tokens, context_tokens, self.window)
        read = np.minimum(context_tokens, self.window - 1)
        written = new_tokens
        if self.ratio:
            pairs = pairs + entry_pairs(new_tokens, context_tokens, self.ratio, self.selected)
            entries = np.floor(context_tokens / self.ratio)
            read = read + (np.minimum(entries, self.selected * new_tokens) if self.selected else entries)
            written = written * (1 + 1 / self.ratio)
        return Work(
            flop=pairs * (4 * self.head_dim * heads / cp),
            cache_elements=(read + written) * (self.head_dim / cp),
            activation_elements=new_tokens * ((2 * self.head_dim * heads + self.head_dim) / cp),
        )

    def full_flop(self, seq_tokens: Array) -> Array:
        """Return the FLOP without a causal mask; window and selection still limit it."""
        seen = np.minimum(seq_tokens, self.window)
        if self.ratio:
            entries = np.floor(seq_tokens / self.ratio)
            seen = seen + (np.minimum(entries, self.selected) if self.selected else entries)
        return 4 * self.heads * self.head_dim * seq_tokens * seen

    def cache_elements(self, context_tokens: Array, tp: Array) -> Array:
        """Return the window and the entries, which every tensor-parallel rank holds whole."""
        held = np.minimum(context_tokens, self.window)
        if self.ratio:
            held = held + np.floor(context_tokens / self.ratio)
        return self.head_dim * held + 0.0 * tp


@dataclass(frozen=True, slots=True, kw_only=True)
class EntryIndexCore(Core):
    """Scores of an indexer over compressed entries."""

    name: str
    heads: int
    head_dim: int
    ratio: int

    def work(self, new_tokens: Array, context_tokens: Array, tp: Array, cp: Array) -> Work:
        """Return the work; every tensor-parallel rank scores for itself."""
        pairs = entry_pairs(new_tokens, context_tokens, self.ratio)
        entries = np.floor(context_tokens / self.ratio) + new_tokens / self.ratio
        return Work(
            flop=pairs * (2 * self.heads * self.head_dim / cp) + 0.0 * tp,
            cache_elements=entries * (self.head_dim / cp),
            activation_elements=new_tokens * ((self.heads + 1) * self.head_dim / cp),
        )

    def full_flop(self, seq_tokens: Array) -> Array:
        """Return the FLOP without a causal mask."""
        return 2 * self.heads * self.head_dim * seq_tokens * np.floor(seq_tokens / self.ratio)

    def cache_elements(self, context_tokens: Array, tp: Array) -> Array:
        """Return the entries' keys."""
        return self.head_dim * np.floor(context_tokens / self.ratio) + 0.0 * tp


def compressed(spec: CompressedAttention, hidden: int) -> Block:
    """Return the parts of window and compressed attention, with its grouped output projection."""
    heads, dim, queries = spec.heads, spec.head_dim, spec.q_lora_rank
    group_width = heads * dim // spec.o_groups
    series = 2 if spec.index_heads else 1  # an entry that overlaps its neighbour is made of two series
    linears = [
        Linear(name="attention.down", group="attention", out=((1, queries + dim),), into=((1, hidden),)),
        Linear(name="attention.query_up", group="attention", out=((heads, dim),), into=((1, queries),)),
        Linear(
            name="attention.output_group",
            group="attention",
            out=((spec.o_groups, spec.o_lora_rank),),
            into=((1, group_width),),
        ),
        Linear(
            name="attention.output",
            group="attention",
            out=((1, hidden),),
            into=((spec.o_groups, spec.o_lora_rank),),
        ),
    ]
    core = CompressedCore(
        name=f"attention.compressed_{spec.ratio}" if spec.ratio else f"attention.window_{spec.window}",
        heads=heads,
        head_dim=dim,
        window=spec.window,
        ratio=spec.ratio,
        selected=spec.selected,
    )
    vectors = queries + dim + heads  # norms of queries and key, sinks
    if spec.ratio:
        width = ((1, 2 * series * dim),)
        linears.append(Linear(name="attention.compress", group="attention", out=width, into=((1, hidden),)))
        vectors += spec.ratio * series * dim + dim
    index_linears, index_cores, index_params = _index_parts(spec, hidden)
    return Block(
        linears=(*linears, *index_linears),
        vector_params=vectors + index_params,
        cores=(core, *index_cores),
        moved=((heads, 2 * dim), (1, 2 * (queries + dim))),
        kept={
            "norm": hidden + queries + dim,
            "projection": heads * dim,
            "attention": queries + dim + heads * (dim + 2) + spec.o_groups * spec.o_lora_rank,
        },
    )


def _index_parts(spec: CompressedAttention, hidden: int) -> tuple[tuple[Linear, ...], tuple[Core, ...], int]:
    """Return the matrices, the core and the vector parameters of the indexer over entries, which overlap."""
    heads, dim = spec.index_heads, spec.index_head_dim
    if not heads:
        return (), (), 0
    query = Linear(name="indexer.query", group="attention", out=((1, heads * dim),), into=((1, spec.q_lora_rank),))
    key = Linear(name="indexer.key", group="attention", out=((1, 4 * dim + heads),), into=((1, hidden),))
    core = EntryIndexCore(name="indexer.scores", heads=heads, head_dim=dim, ratio=spec.ratio)
    return (query, key), (core,), spec.ratio * 2 * dim + dim


BLOCKS[CompressedAttention] = compressed
