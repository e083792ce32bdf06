"""Multi-head latent attention, in the cheaper of its two forms, with or without an indexer."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from steelyard.arch.indexer import index_parts
from steelyard.arch.pairs import causal_pairs
from steelyard.arch.parts import BLOCKS, Block, Core, Linear, Work, share
from steelyard.arch.spec import LatentAttention
from steelyard.units import Array


@dataclass(frozen=True, slots=True, kw_only=True)
class LatentCore(Core):
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
    selected: int = 0  # keys that an indexer leaves of all that are cached; 0: all

    @property
    def head_dim(self) -> int:
        return self.nope_head_dim + self.rope_head_dim

    def work(self, new_tokens: Array, context_tokens: Array, tp: Array, cp: Array) -> Work:
        """Return the work of the form with fewer FLOP, chosen for each element of the arrays."""
        heads = share(((self.heads, 1),), tp)
        pairs = causal_pairs(new_tokens, context_tokens, self.selected)
        latent = self.kv_lora_rank + self.rope_head_dim
        on_latent = 2 * (latent + self.kv_lora_rank) * pairs
        expanded = 2 * (self.head_dim + self.v_head_dim) * pairs
        expand = 2 * self.kv_lora_rank * (self.nope_head_dim + self.v_head_dim) * context_tokens
        absorbed = on_latent < expanded + expand
        read = context_tokens
        if self.selected:  # every query has its own choice of keys, which cannot be expanded for all
            absorbed = absorbed | (context_tokens + new_tokens > self.selected)
            read = np.minimum(context_tokens, self.selected * new_tokens)
        expanded_tokens = np.where(absorbed, 0.0, context_tokens)
        own = np.where(absorbed, latent + self.kv_lora_rank, self.head_dim + self.v_head_dim)
        keys_values = np.where(absorbed, 0.0, self.head_dim + self.v_head_dim)
        return Work(
            flop=heads * np.where(absorbed, on_latent, expanded) / cp,
            cache_elements=latent * (read + new_tokens) / cp,
            activation_elements=heads * (own * new_tokens + keys_values * (new_tokens + expanded_tokens)) / cp,
            expanded_tokens=expanded_tokens / cp,
        )

    def full_flop(self, seq_tokens: Array) -> Array:
        """Return the FLOP without a causal mask, keys and values expanded."""
        seen = np.minimum(seq_tokens, self.selected) if self.selected else seq_tokens
        return 2 * self.heads * (self.head_dim + self.v_head_dim) * seq_tokens * seen

    def cache_elements(self, context_tokens: Array, tp: Array) -> Array:
        """Return the latents, which every tensor-parallel rank holds whole."""
        return (self.kv_lora_rank + self.rope_head_dim) * context_tokens + 0.0 * tp

    def passed_elements(self, seq_tokens: Array, tp: Array) -> Array:
        """Return keys and values of every head: in training they are made of the latents before they are passed."""
        return share(((self.heads, self.head_dim + self.v_head_dim),), tp) * seq_tokens

    def output_elements(self, tp: Array) -> Array:
        """Return the values that all heads hand on."""
        return share(((self.heads, self.v_head_dim),), tp)


def latent(spec: LatentAttention, hidden: int) -> Block:
    """Return the parts of multi-head latent attention."""
    heads, rank, rope, v_dim = spec.heads, spec.kv_lora_rank, spec.rope_head_dim, spec.v_head_dim
    qk_dim = spec.nope_head_dim + rope
    index_linears, index_cores, index_params = index_parts(spec.index, hidden) if spec.index else ((), (), 0)
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
            *index_linears,
        ),
        vector_params=down + rank + index_params,  # the norms on the two latents
        cores=(
            LatentCore(
                name="attention.latent_selected" if spec.index else "attention.latent",
                heads=heads,
                kv_lora_rank=rank,
                nope_head_dim=spec.nope_head_dim,
                rope_head_dim=rope,
                v_head_dim=v_dim,
                selected=spec.index.selected if spec.index else 0,
            ),
            *index_cores,
        ),
        moved=((heads, 2 * rope), (1, 2 * (down + rank + rope))),
        kept={
            "norm": hidden + down + rank,
            "projection": heads * (2 * qk_dim + v_dim),
            "attention": down + rank + rope + heads * (v_dim + 2),
        },
    )


BLOCKS[LatentAttention] = latent
