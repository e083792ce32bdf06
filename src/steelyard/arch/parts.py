"""The parts list of a model: matrices, attention cores and element traffic, each with how often it occurs.

Every public figure (parameters, bytes, operators, FLOP) is read off this one list, so that they agree.
A width is a sum of `units x width`; tensor parallelism divides the units and rounds up, so that one unit (a
replicated tensor, a key-value head that all ranks need) stays whole on every rank.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Protocol

import numpy as np

from steelyard.arch.spec import Layer, Model
from steelyard.units import Array

Width = tuple[tuple[int, int], ...]
"""((units, width), ...): what tensor parallelism divides, and how wide one unit is."""


def whole(width: Width) -> int:
    """Return the unsharded width (elements)."""
    return sum(units * size for units, size in width)


def share(width: Width, ranks: Array) -> Array:
    """Return the width that the busiest of `ranks` tensor-parallel ranks holds (elements)."""
    if isinstance(ranks, float) and ranks == 1.0:
        return float(whole(width))
    total: Array = 0.0
    for units, size in width:
        total = total + (size if units == 1 else np.ceil(units / ranks) * size)
    return total


@dataclass(frozen=True, slots=True, kw_only=True)
class Linear:
    """One matrix (or `experts` of them, of which a token uses `top_k`)."""

    name: str
    group: str  # decides its stored format: "attention", "mlp", "experts", "shared_experts", "router"
    out: Width
    into: Width
    bias: bool = False
    experts: int = 1
    top_k: int = 1
    expands_cache: bool = False  # runs over cached tokens too when keys and values are expanded again

    @property
    def matrix_params(self) -> int:
        """Parameters of one of its matrices, without bias."""
        return whole(self.out) * whole(self.into)

    @property
    def params(self) -> int:
        """Parameters of one of its matrices, with bias."""
        return self.matrix_params + (whole(self.out) if self.bias else 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What one sequence mixer does in one pass over one sequence on one device; arrays broadcast."""

    flop: Array
    cache_elements: Array  # read and written
    activation_elements: Array
    expanded_tokens: Array = 0.0  # cached tokens whose keys and values are expanded again


class Core(Protocol):
    """Mixes information between tokens (attention, scan)."""

    @property
    def name(self) -> str: ...

    def work(self, new_tokens: Array, context_tokens: Array, tp: Array, cp: Array) -> Work:
        """Return the work for `new_tokens` after `context_tokens`."""
        ...

    def full_flop(self, seq_tokens: Array) -> Array:
        """Return the FLOP over one sequence when every token sees all others (the convention without halving)."""
        ...

    def cache_elements(self, context_tokens: Array, tp: Array) -> Array:
        """Return the elements cached per sequence on one device."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Traffic:
    """Elements that elementwise work moves per token (per routed copy of a token when `top_k` is set)."""

    name: str
    residual: int = 0  # on the whole hidden width: every tensor-parallel rank, or shared out by sequence parallelism
    sharded: Width = ()
    experts: int = 1
    top_k: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """What one layer kind consists of: all that the rest of the room knows about it."""

    linears: tuple[Linear, ...]
    vector_params: int = 0  # parameters outside matrices
    cores: tuple[Core, ...] = ()
    moved: Width = ()  # elements per token that its elementwise work reads and writes
    routed: Traffic | None = None
    kept_elements: int = 0  # per token, kept for the backward pass
    cheap_elements: int = 0  # of those, what comes back without a matrix product (norms, activation functions)


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """All parts of a model, with counts; equal parts of different layers are one entry."""

    linears: tuple[tuple[Linear, int], ...]
    cores: tuple[tuple[Core, int], ...]
    traffic: tuple[tuple[Traffic, int], ...]
    vector_params: int
    kept_elements: int  # per token, all layers together
    cheap_elements: int


BLOCKS: dict[type, Callable[[Any, int], Block]] = {}
"""Layer kinds: specification class -> function of (specification, hidden) that says what it consists of."""


def _traffic(layer: Layer, blocks: list[Block], hidden: int) -> list[Traffic]:
    additions = 1 if layer.parallel else len(blocks)
    own = Traffic(
        name="layer.elementwise",
        residual=2 * hidden * (layer.norms + additions),  # each reads and writes the hidden width
        sharded=tuple(part for block in blocks for part in block.moved),
    )
    return [own, *(block.routed for block in blocks if block.routed)]


def _kept(layer: Layer, blocks: list[Block], hidden: int) -> int:
    shared_inputs = max(len(blocks) - layer.norms, 0) if layer.parallel else 0
    return sum(block.kept_elements for block in blocks) + hidden * (layer.norms - shared_inputs)


@lru_cache(maxsize=256)
def parts(model: Model) -> Parts:
    """Return the parts list of a model."""
    linears: Counter[Linear] = Counter()
    cores: Counter[Core] = Counter()
    traffic: Counter[Traffic] = Counter()
    norm_params = model.hidden * (2 if model.norm_bias else 1)
    vectors, kept, cheap = norm_params, 0, 0  # one norm stands before the head
    for layer, count in model.layers:
        blocks = [BLOCKS[type(spec)](spec, model.hidden) for spec in layer.blocks]
        for block in blocks:
            linears.update(dict.fromkeys(block.linears, count))
            cores.update(dict.fromkeys(block.cores, count))
        traffic.update(dict.fromkeys(_traffic(layer, blocks, model.hidden), count))
        vectors += count * (norm_params * layer.norms + sum(block.vector_params for block in blocks))
        kept += count * _kept(layer, blocks, model.hidden)
        cheap += count * sum(block.cheap_elements for block in blocks)
    return Parts(
        linears=tuple(linears.items()),
        cores=tuple(cores.items()),
        traffic=tuple(traffic.items()),
        vector_params=vectors,
        kept_elements=kept,
        cheap_elements=cheap,
    )
