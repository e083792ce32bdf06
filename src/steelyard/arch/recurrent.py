"""Mixers with a state of constant size: state spaces (Mamba), gated delta rule, linear attention, short convolution."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from steelyard.arch.parts import BLOCKS, Block, Core, Linear, Width, Work, share, whole
from steelyard.units import Array

_CONVOLUTION_BYTES = 2.0  # the last inputs of a convolution are kept as they came, in 16 bits


@dataclass(frozen=True, slots=True, kw_only=True)
class StateCore(Core):
    """One state per head that every token decays, updates and reads; tokens of a chunk meet in pairs besides.

    FLOP per token and head: `update_flop * state + 2 * state / chunk` (decay, once per chunk) + `pair_flop * (chunk -
    1)`, with a chunk no longer than the pass. A single token needs no pairs: that is the recurrent form.

    Source: Mamba-2 (state space duality), arXiv 2405.21060, section 6; gated delta rule, arXiv 2412.06464, section 3.3.
    """

    name: str
    heads: int
    state: int  # numbers in the state of one head
    update_flop: int
    pair_flop: int
    chunk: int
    state_element_bytes: float
    convolved: Width = ()  # inputs that a convolution keeps, times its length less one
    moved: int  # numbers per token and head that the scan reads and writes
    kind: ClassVar[Literal["attention", "scan"]] = "scan"

    def work(self, new_tokens: Array, context_tokens: Array, tp: Array, cp: Array) -> Work:
        """Return the work; the state is read and written once per chunk, or once where a kernel keeps it on chip."""
        heads = share(((self.heads, 1),), tp)
        chunk = np.minimum(np.maximum(new_tokens, 1.0), self.chunk)
        per_token = self.update_flop * self.state + 2 * self.state / chunk + self.pair_flop * (chunk - 1)
        passes = np.minimum(new_tokens, 1.0)
        if self.chunk > 1:
            passes = np.maximum(new_tokens / self.chunk, passes)
        touched = passes * (heads * self.state * self.state_element_bytes)
        touched = touched + np.minimum(new_tokens, 1.0) * (share(self.convolved, tp) * _CONVOLUTION_BYTES)
        return Work(
            flop=new_tokens * per_token * (heads / cp) + 0.0 * context_tokens,
            cache_elements=0.0 * context_tokens,
            activation_elements=new_tokens * (heads * self.moved / cp),
            state_bytes=2 * touched / cp,
        )

    def full_flop(self, seq_tokens: Array) -> Array:
        """Return the FLOP, which no mask changes."""
        return self.work(seq_tokens, 0.0, 1.0, 1.0).flop

    def cache_elements(self, context_tokens: Array, tp: Array) -> Array:
        """Return nothing: what is kept does not grow."""
        return 0.0 * context_tokens * tp

    def state_bytes(self, tp: Array) -> Array:
        """Return the bytes of the states and of the last inputs of the convolution."""
        states = share(((self.heads, self.state),), tp) * self.state_element_bytes
        return states + share(self.convolved, tp) * _CONVOLUTION_BYTES


def _convolved(width: Width, kernel: int) -> Width:
    return tuple((units, size * (kernel - 1)) for units, size in width)


@dataclass(frozen=True, slots=True, kw_only=True)
class GatedDelta:
    """Linear attention with the gated delta rule (Qwen3-Next), or with a decay per channel (Kimi delta attention).

    Source: gated delta rule, arXiv 2412.06464; Kimi Linear, arXiv 2510.26692, section 3.
    """

    key_heads: int
    key_dim: int
    heads: int  # of values
    value_dim: int
    kernel: int
    rank: int = 0  # that decay (per channel) and gate are read through; 0: a decay per head, a full gate
    state_bytes: float = 4.0
    chunk: int = 64  # of the public kernels


def gated_delta(spec: GatedDelta, hidden: int) -> Block:
    """Return the parts of a gated delta rule layer."""
    mixed: Width = ((spec.key_heads, 2 * spec.key_dim), (spec.heads, spec.value_dim))
    values: Width = ((spec.heads, spec.value_dim),)
    keys, value = spec.key_dim, spec.value_dim
    inner = whole(mixed) + 2 * whole(values)
    return Block(
        linears=(
            Linear(name="delta.query_key_value", group="attention", out=mixed, into=((1, hidden),)),
            *_delta_gates(spec, hidden),
            Linear(name="delta.output", group="attention", out=((1, hidden),), into=values),
        ),
        vector_params=whole(mixed) * spec.kernel + spec.heads * (1 + (keys if spec.rank else 1)) + value,
        cores=(
            StateCore(
                name="delta.scan",
                heads=spec.heads,
                state=keys * value,
                update_flop=6,  # what the state predicts, its correction, what the query reads
                pair_flop=2 * (3 * keys + 2 * value),  # keys with keys and queries, their inverse on keys and values
                chunk=spec.chunk,
                state_element_bytes=spec.state_bytes,
                convolved=_convolved(mixed, spec.kernel),
                moved=2 * keys + 2 * value,
            ),
        ),
        moved=(*((units, 2 * size) for units, size in mixed), (spec.heads, 4 * value)),
        kept={"norm": hidden, "activation": whole(mixed), "attention": inner},
    )


def _delta_gates(spec: GatedDelta, hidden: int) -> tuple[Linear, ...]:
    """Return the matrices that decide what a state forgets and takes in, and how its output is gated."""
    values: Width = ((spec.heads, spec.value_dim),)
    if not spec.rank:
        return (
            Linear(name="delta.gate", group="attention", out=values, into=((1, hidden),)),
            Linear(name="delta.decay", group="connection", out=((spec.heads, 2),), into=((1, hidden),)),
        )
    low: Width = ((1, spec.rank),)
    return (
        Linear(name="delta.gate_down", group="attention", out=low, into=((1, hidden),)),
        Linear(name="delta.gate_up", group="attention", out=values, into=low),
        Linear(name="delta.decay_down", group="connection", out=low, into=((1, hidden),)),
        Linear(name="delta.decay_up", group="connection", out=((spec.heads, spec.key_dim),), into=low),
        Linear(name="delta.rate", group="connection", out=((spec.heads, 1),), into=((1, hidden),)),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Mamba2:
    """Selective state space with a scalar decay per head."""

    heads: int
    head_dim: int
    groups: int  # of heads that share their input and output maps
    state: int
    kernel: int
    conv_bias: bool = True
    bias: bool = False
    norm: bool = True
    state_bytes: float = 4.0
    chunk: int = 256


def mamba2(spec: Mamba2, hidden: int) -> Block:
    """Return the parts of a Mamba-2 layer."""
    values: Width = ((spec.heads, spec.head_dim),)
    maps: Width = ((spec.groups, 2 * spec.state),)
    mixed = (*values, *maps)
    width = whole(values)
    return Block(
        linears=(
            Linear(
                name="state_space.input",
                group="attention",
                out=((spec.heads, 2 * spec.head_dim + 1), *maps),
                into=((1, hidden),),
                bias=spec.bias,
            ),
            Linear(name="state_space.output", group="attention", out=((1, hidden),), into=values, bias=spec.bias),
        ),
        vector_params=whole(mixed) * (spec.kernel + spec.conv_bias) + 3 * spec.heads + (width if spec.norm else 0),
        cores=(
            StateCore(
                name="state_space.scan",
                heads=spec.heads,
                state=spec.head_dim * spec.state,
                update_flop=4,
                pair_flop=2 * spec.head_dim + 2 * spec.state * spec.groups // spec.heads,
                chunk=spec.chunk,
                state_element_bytes=spec.state_bytes,
                convolved=_convolved(mixed, spec.kernel),
                moved=2 * spec.head_dim + 2 * spec.state * spec.groups // spec.heads,
            ),
        ),
        moved=((spec.heads, 6 * spec.head_dim), (spec.groups, 4 * spec.state)),
        kept={"norm": hidden, "activation": whole(mixed) + width, "attention": whole(mixed) + 2 * width},
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Mamba:
    """Selective state space with a decay per channel (the first Mamba)."""

    heads: int  # channels
    state: int
    rank: int  # of the step size
    kernel: int
    conv_bias: bool = True
    bias: bool = False
    norms: bool = False  # on step size, input and output maps
    state_bytes: float = 4.0


def mamba(spec: Mamba, hidden: int) -> Block:
    """Return the parts of a Mamba layer."""
    channels: Width = ((spec.heads, 1),)
    maps = spec.rank + 2 * spec.state
    return Block(
        linears=(
            Linear(
                name="state_space.input", group="attention", out=((spec.heads, 2),), into=((1, hidden),), bias=spec.bias
            ),
            Linear(name="state_space.maps", group="attention", out=((1, maps),), into=channels),
            Linear(name="state_space.step", group="attention", out=channels, into=((1, spec.rank),), bias=True),
            Linear(name="state_space.output", group="attention", out=((1, hidden),), into=channels, bias=spec.bias),
        ),
        vector_params=spec.heads * (spec.kernel + spec.conv_bias + spec.state + 1) + (maps if spec.norms else 0),
        cores=(
            StateCore(
                name="state_space.scan",
                heads=spec.heads,
                state=spec.state,
                update_flop=4,
                pair_flop=0,
                chunk=1,  # a scan over tokens: the decay differs for each
                state_element_bytes=spec.state_bytes,
                convolved=_convolved(channels, spec.kernel),
                moved=4,
            ),
        ),
        moved=((spec.heads, 6), (1, 2 * maps)),
        kept={"norm": hidden, "activation": 2 * spec.heads, "attention": 4 * spec.heads + maps},
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class LinearAttention:
    """Linear attention with a fixed decay per head and an output gate (lightning attention)."""

    heads: int
    head_dim: int
    state_bytes: float = 4.0
    chunk: int = 256


def linear_attention(spec: LinearAttention, hidden: int) -> Block:
    """Return the parts of a lightning attention layer."""
    inner: Width = ((spec.heads, spec.head_dim),)
    width = whole(inner)
    return Block(
        linears=(
            Linear(
                name="linear_attention.query_key_value",
                group="attention",
                out=((spec.heads, 3 * spec.head_dim),),
                into=((1, hidden),),
            ),
            Linear(name="linear_attention.gate", group="attention", out=inner, into=((1, hidden),)),
            Linear(name="linear_attention.output", group="attention", out=((1, hidden),), into=inner),
        ),
        vector_params=width,
        cores=(
            StateCore(
                name="linear_attention.scan",
                heads=spec.heads,
                state=spec.head_dim**2,
                update_flop=4,
                pair_flop=4 * spec.head_dim,
                chunk=spec.chunk,
                state_element_bytes=spec.state_bytes,
                moved=4 * spec.head_dim,
            ),
        ),
        moved=((spec.heads, 8 * spec.head_dim),),
        kept={"norm": hidden, "activation": width, "attention": 5 * width},
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class ShortConvolution:
    """A gated convolution over the last few tokens (LFM2)."""

    kernel: int
    bias: bool = False


def short_convolution(spec: ShortConvolution, hidden: int) -> Block:
    """Return the parts of a short convolution layer."""
    whole_width: Width = ((1, hidden),)
    return Block(
        linears=(
            Linear(
                name="convolution.input", group="attention", out=((1, 3 * hidden),), into=whole_width, bias=spec.bias
            ),
            Linear(name="convolution.output", group="attention", out=whole_width, into=whole_width, bias=spec.bias),
        ),
        vector_params=hidden * (spec.kernel + spec.bias),
        cores=(
            StateCore(
                name="convolution.scan",
                heads=1,
                state=0,
                update_flop=0,
                pair_flop=0,
                chunk=1,
                state_element_bytes=0.0,
                convolved=_convolved(whole_width, spec.kernel),
                moved=5 * hidden,
            ),
        ),
        kept={"norm": hidden, "attention": 4 * hidden},
    )


BLOCKS[GatedDelta] = gated_delta
BLOCKS[Mamba2] = mamba2
BLOCKS[Mamba] = mamba
BLOCKS[LinearAttention] = linear_attention
BLOCKS[ShortConvolution] = short_convolution
