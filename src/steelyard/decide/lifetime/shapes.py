"""Models of any size: one dense shape made wider and deeper in proportion."""

from __future__ import annotations

import dataclasses

from steelyard import arch
from steelyard.errors import InputError

_HEADS = (1, 2, 4, 8, 12, 16, 24, 32, 40, 48, 64, 80, 96, 128, 160, 192, 256)  # from 8 on tensor parallelism divides it


def scaled(model: arch.Model, heads: int) -> arch.Model:
    """Return the model with so many attention heads; width, feed-forward width and depth change in proportion.

    Head size, grouped key-value heads (at most as many as heads) and vocabulary stay.

    Raises:
        InputError: A model whose layers are not softmax attention and a dense feed-forward block.

    Example:
        >>> big = scaled(arch.load("llama-3.1-8b"), 128)  # as wide as the published 405B
        >>> big.hidden, big.num_layers, round(arch.count_params(big).total_params / 1e9)
        (16384, 128, 438)
    """
    ratio = heads / model.num_heads
    layers = tuple(
        (dataclasses.replace(layer, blocks=tuple(_block(model, block, ratio) for block in layer.blocks)), count)
        for layer, count in _deeper(model, ratio)
    )
    return dataclasses.replace(
        model,
        id=f"{model.id}-shape-{heads}-heads",
        hidden=round(model.hidden * ratio),
        layers=layers,
        order=(),
        name=f"{model.name} at {heads} heads",
    )


def _deeper(model: arch.Model, ratio: float) -> list[tuple[arch.Layer, int]]:
    return [(layer, max(round(count * ratio), 1)) for layer, count in model.layers]


def _block(model: arch.Model, block: object, ratio: float) -> object:
    if isinstance(block, arch.Attention):
        heads = max(round(block.heads * ratio), 1)
        return dataclasses.replace(block, heads=heads, kv_heads=min(block.kv_heads, heads))
    if isinstance(block, arch.Mlp):
        return dataclasses.replace(block, ffn=max(round(block.ffn * ratio), 1))
    raise InputError(f"{model.id} has layers that are not plain attention; allowed: a dense model like llama-3.1-8b")


def sizes(model: arch.Model, least_params: float, most_params: float) -> tuple[arch.Model, ...]:
    """Return the scaled models from the last at or below `least_params` to the first at or above `most_params`.

    From the smallest or to the largest of all (33M to 3.5T for llama-3.1-8b), where one of them lies beyond.
    """
    ladder = [scaled(model, heads) for heads in _HEADS]
    counts = [arch.count_params(one).total_params for one in ladder]
    below = [place for place, count in enumerate(counts) if count <= least_params]
    above = [place for place, count in enumerate(counts) if count >= most_params]
    first = below[-1] if below else 0
    last = above[0] if above else len(ladder) - 1
    return tuple(ladder[first : max(last, first + 1) + 1])
