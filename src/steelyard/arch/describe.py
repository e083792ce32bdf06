"""What was understood of a configuration, layer by layer, as data."""

from __future__ import annotations

import dataclasses
import re
from dataclasses import dataclass
from typing import Any

from steelyard.arch.parts import BLOCKS
from steelyard.arch.spec import Layer, Model, Tower


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockFacts:
    """One block of a layer: its kind, the facts that set it apart from the plainest of its kind, its parameters."""

    kind: str  # "attention", "latent attention", "moe", "gated delta", ...
    facts: tuple[tuple[str, Any], ...]
    params: int
    active_params: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerFacts:
    """Equal layers of a model: where they stand in the stack, and what each consists of."""

    indices: tuple[int, ...]
    blocks: tuple[BlockFacts, ...]
    norms: int
    parallel: bool
    params: int  # of one such layer, norms included
    active_params: int

    @property
    def span(self) -> str:
        """The layers in words.

        Example:
            >>> LayerFacts(indices=(0, 1, 2, 5), blocks=(), norms=2, parallel=False, params=1, active_params=1).span
            '0-2, 5'
        """
        runs: list[list[int]] = []
        for index in self.indices:
            if runs and runs[-1][-1] == index - 1:
                runs[-1].append(index)
            else:
                runs.append([index])
        return ", ".join(str(run[0]) if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in runs)


@dataclass(frozen=True, slots=True, kw_only=True)
class Description:
    """What was understood of a configuration, and what was not needed."""

    layers: tuple[LayerFacts, ...]
    prediction: tuple[LayerFacts, ...]  # multi-token-prediction layers, numbered from 0
    towers: tuple[Tower, ...]
    defaults: tuple[str, ...]  # not stated: what the configuration class has by default
    harmless_keys: tuple[str, ...]  # stated, but they change neither time nor memory
    left_out: tuple[str, ...]  # parts that are there and not modelled


def describe(model: Model) -> Description:
    """Return what was understood of a model's configuration, layer by layer.

    Example:
        >>> from steelyard import arch
        >>> first, others = describe(arch.load("deepseek-v3")).layers
        >>> first.span, [block.kind for block in first.blocks], others.span
        ('0-2', ['latent attention', 'mlp'], '3-60')
        >>> others.blocks[1].facts[:2], others.blocks[1].active_params
        ((('experts', 256), ('top_k', 8)), 398196736)
    """
    first = 0
    prediction = []
    for layer, count in model.prediction:
        prediction.append(_layer(layer, tuple(range(first, first + count)), model))
        first += count
    return Description(
        layers=tuple(
            _layer(layer, tuple(i for i, one in enumerate(model.order) if one == kind), model)
            for kind, (layer, _) in enumerate(model.layers)
        ),
        prediction=tuple(prediction),
        towers=model.towers,
        defaults=model.defaults,
        harmless_keys=model.harmless_keys,
        left_out=model.ignored,
    )


def _layer(layer: Layer, indices: tuple[int, ...], model: Model) -> LayerFacts:
    blocks = tuple(_block(spec, model.hidden) for spec in layer.blocks)
    norms = layer.norms * model.hidden * model.norm_vectors
    if layer.streams > 1:
        norms += len(blocks) * (layer.streams * (layer.streams + 2) * (layer.streams * model.hidden + 1) + 3)
    return LayerFacts(
        indices=indices,
        blocks=blocks,
        norms=layer.norms,
        parallel=layer.parallel,
        params=norms + sum(block.params for block in blocks),
        active_params=norms + sum(block.active_params for block in blocks),
    )


def _block(spec: Any, hidden: int) -> BlockFacts:
    block = BLOCKS[type(spec)](spec, hidden)
    return BlockFacts(
        kind=re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", type(spec).__name__).lower(),
        facts=_facts(spec),
        params=block.vector_params + sum(one.params * one.experts for one in block.linears),
        active_params=block.vector_params + sum(one.params * one.top_k for one in block.linears),
    )


def _facts(spec: Any) -> tuple[tuple[str, Any], ...]:
    """Return the fields of a specification that differ from what they are by default."""
    stated = []
    for field in dataclasses.fields(spec):
        value = getattr(spec, field.name)
        if value == field.default or value in (False, 0, ""):
            continue
        if dataclasses.is_dataclass(value):
            stated += [(f"{field.name}_{name}", one) for name, one in _facts(value)]
        else:
            stated.append((field.name, value))
    return tuple(stated)
