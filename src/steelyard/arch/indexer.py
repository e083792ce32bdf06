"""The indexer of sparse attention: a cheap score of every cached token, with a small cache of its own."""

from __future__ import annotations

from dataclasses import dataclass

from steelyard.arch.pairs import causal_pairs
from steelyard.arch.parts import Core, Linear, Work
from steelyard.arch.spec import Indexer
from steelyard.units import Array


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexCore(Core):
    """Scores of all earlier tokens; every tensor-parallel rank computes them, as the choice holds for all heads."""

    name: str
    heads: int
    head_dim: int

    def work(self, new_tokens: Array, context_tokens: Array, tp: Array, cp: Array) -> Work:
        """Return the work: one key per cached token, no values."""
        pairs = causal_pairs(new_tokens, context_tokens)
        return Work(
            flop=pairs * (2 * self.heads * self.head_dim / cp) + 0.0 * tp,
            cache_elements=(context_tokens + new_tokens) * (self.head_dim / cp),
            activation_elements=new_tokens * ((self.heads + 1) * self.head_dim / cp),
        )

    def full_flop(self, seq_tokens: Array) -> Array:
        """Return the FLOP without a causal mask."""
        return 2 * self.heads * self.head_dim * seq_tokens * seq_tokens

    def cache_elements(self, context_tokens: Array, tp: Array) -> Array:
        """Return the keys, which every tensor-parallel rank holds whole."""
        return self.head_dim * context_tokens + 0.0 * tp


def index_parts(spec: Indexer, hidden: int) -> tuple[tuple[Linear, ...], tuple[Core, ...], int]:
    """Return the matrices, the core and the vector parameters of an indexer (nothing where it is shared)."""
    if spec.shared:
        return (), (), 0
    queries = ((1, spec.heads * spec.head_dim),)
    keys = ((1, spec.head_dim + (spec.heads if spec.weighted else 0)),)
    return (
        (
            Linear(name="indexer.query", group="attention", out=queries, into=((1, spec.query_rank or hidden),)),
            Linear(name="indexer.key", group="attention", out=keys, into=((1, hidden),)),
        ),
        (IndexCore(name="indexer.scores", heads=spec.heads, head_dim=spec.head_dim),),
        spec.norm_params,
    )
