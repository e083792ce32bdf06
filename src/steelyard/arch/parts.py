"""The parts list of a model: matrices, attention cores and element traffic, each with how often it occurs.

Every public figure (parameters, bytes, operators, FLOP) is read off this one list, so that they agree.
A width is a sum of `units x width`; tensor parallelism divides the units and rounds up, so that one unit (a
replicated tensor, a key-value head that all ranks need) stays whole on every rank.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, ClassVar, Literal

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


KEPT = ("input", "norm", "activation", "dispatch", "projection", "attention", "feed_forward")
"""What is kept for the backward pass, by what gives it back: the inputs of norms (kept where all else goes), outputs of
norms and of activation functions (no matrix product), tokens sent to experts, queries, keys and values made of latents,
the rest of a mixer, the rest of a feed-forward block."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Linear:
    """One matrix (or `experts` of them, of which a token uses `top_k`)."""

    name: str
    group: str  # what it is counted as: "attention", "mlp", "experts", "shared_experts", "router", "connection"
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
    state_bytes: Array = 0.0  # of a state with a format of its own, read and written


class Core:
    """Mixes information between tokens: attention over a cache, or the scan of a state."""

    __slots__ = ()
    name: str
    kind: ClassVar[Literal["attention", "scan"]] = "attention"

    def work(self, new_tokens: Array, context_tokens: Array, tp: Array, cp: Array) -> Work:
        """Return the work for `new_tokens` after `context_tokens`."""
        raise NotImplementedError

    def full_flop(self, seq_tokens: Array) -> Array:
        """Return the FLOP over one sequence when every token sees all others (the convention without halving)."""
        raise NotImplementedError

    def cache_elements(self, context_tokens: Array, tp: Array) -> Array:
        """Return the elements in the cache's format that one sequence keeps on one device."""
        raise NotImplementedError

    def passed_elements(self, seq_tokens: Array, tp: Array) -> Array:
        """Return the elements of keys and values that context parallelism passes round for one sequence in training."""
        return self.cache_elements(seq_tokens, tp)

    def output_elements(self, tp: Array) -> Array:
        """Return the elements per token that it hands on: what a ring of context parallelism makes in parts."""
        return 0.0 * tp

    def state_bytes(self, tp: Array) -> Array:
        """Return the bytes, in a format of their own, that one sequence keeps on one device whatever its length."""
        return 0.0 * tp


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
    buffers: int = 0  # numbers that a checkpoint stores beside the parameters
    cores: tuple[Core, ...] = ()
    moved: Width = ()  # elements per token that its elementwise work reads and writes
    routed: Traffic | None = None
    kept: Mapping[str, int] = field(
        default_factory=dict
    )  # elements per token for the backward pass, by a key of `KEPT`


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """All parts of a model, with counts; equal parts of different layers are one entry."""

    linears: tuple[tuple[Linear, int], ...]
    cores: tuple[tuple[Core, int], ...]
    traffic: tuple[tuple[Traffic, int], ...]
    vector_params: int
    buffers: int
    kept: Mapping[str, int]  # elements per token, all layers together, by a key of `KEPT`


BLOCKS: dict[type, Callable[[Any, int], Block]] = {}
"""Layer kinds: specification class -> function of (specification, hidden) that says what it consists of."""


def _traffic(layer: Layer, blocks: list[Block], hidden: int) -> list[Traffic]:
    additions = 1 if layer.parallel else len(blocks)
    # norms and additions read and write the hidden width; hyper-connections read their streams twice, write them once
    residual = 2 * hidden * (layer.norms + additions)
    residual += (3 * layer.streams + 1) * hidden * len(blocks) if layer.streams > 1 else 0
    own = Traffic(
        name="layer.elementwise",
        residual=residual,
        sharded=tuple(part for block in blocks for part in block.moved),
    )
    return [own, *(block.routed for block in blocks if block.routed)]


def _connection(layer: Layer, hidden: int) -> Linear:
    """Return the matrix that decides how a block reads and writes the residual streams.

    Source: manifold-constrained hyper-connections, DeepSeek-V4 report, section 2.2.
    """
    streams = layer.streams
    out = ((1, streams * (streams + 2)),)
    return Linear(name="layer.connection", group="connection", out=out, into=((1, streams * hidden),))


def _kept(layer: Layer, blocks: list[Block], hidden: int) -> Counter[str]:
    """Return the elements per token that a layer keeps, its norms' inputs and residual streams with them."""
    kept: Counter[str] = Counter()
    for block in blocks:
        kept.update(block.kept)
    shared_inputs = max(len(blocks) - layer.norms, 0) if layer.parallel else 0
    kept["input"] += hidden * (layer.norms - shared_inputs)
    kept["input"] += layer.streams * hidden * len(blocks) if layer.streams > 1 else 0
    return kept


@lru_cache(maxsize=256)
def parts(model: Model) -> Parts:
    """Return the parts list of a model."""
    linears: Counter[Linear] = Counter()
    cores: Counter[Core] = Counter()
    traffic: Counter[Traffic] = Counter()
    norm = model.hidden * model.norm_vectors
    vectors, buffers = norm * model.outer_norms + model.outer_params, 0
    kept: Counter[str] = Counter(dict.fromkeys(KEPT, 0))
    for layer, count in model.layers:
        blocks = [BLOCKS[type(spec)](spec, model.hidden) for spec in layer.blocks]
        for block in blocks:
            for linear in block.linears:
                linears[linear] += count
            for core in block.cores:
                cores[core] += count
        for moved in _traffic(layer, blocks, model.hidden):
            traffic[moved] += count
        vectors += count * (norm * layer.norms + sum(block.vector_params for block in blocks))
        buffers += count * sum(block.buffers for block in blocks)
        kept.update({name: count * size for name, size in _kept(layer, blocks, model.hidden).items()})
        if layer.streams > 1:
            connection = _connection(layer, model.hidden)
            linears[connection] += count * len(blocks)
            vectors += count * len(blocks) * (layer.streams * (layer.streams + 2) + 3)
    return Parts(
        linears=tuple(linears.items()),
        cores=tuple(cores.items()),
        traffic=tuple(traffic.items()),
        vector_params=vectors,
        buffers=buffers,
        kept=dict(kept),
    )
