"""Parts beside the usual layers: multi-token prediction, and inputs that every layer has of its own."""

from __future__ import annotations

from dataclasses import dataclass, replace

from steelyard.arch.parts import BLOCKS, Block, Linear
from steelyard.arch.spec import Model


@dataclass(frozen=True, slots=True, kw_only=True)
class Merge:
    """Joins the embedding of the next token with the last hidden state, each normed, and norms the result of its layer.

    Source: DeepSeek-V3 report, arXiv 2412.19437, section 2.2.
    """

    norms: int = 3


def merge(spec: Merge, hidden: int) -> Block:
    """Return the parts that stand before (and after) the layer of a multi-token-prediction module."""
    return Block(
        linears=(Linear(name="prediction.merge", group="connection", out=((1, hidden),), into=((1, 2 * hidden),)),),
        vector_params=spec.norms * hidden,
        moved=((1, 2 * spec.norms * hidden),),
        kept={"norm": 2 * hidden, "feed_forward": 2 * hidden},
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerInput:
    """A small embedding of the token that this layer adds to its output, gated by its hidden state (Gemma 3n)."""

    width: int


def layer_input(spec: LayerInput, hidden: int) -> Block:
    """Return the parts of a layer's own input, its share of the projection of the model's input included."""
    width = ((1, spec.width),)
    return Block(
        linears=(
            Linear(name="layer_input.project", group="connection", out=width, into=((1, hidden),)),
            Linear(name="layer_input.gate", group="mlp", out=width, into=((1, hidden),)),
            Linear(name="layer_input.up", group="mlp", out=((1, hidden),), into=width),
        ),
        moved=((1, 5 * spec.width),),
        kept={"activation": 2 * spec.width, "feed_forward": hidden + spec.width},
    )


def prediction_model(model: Model) -> Model:
    """Return the multi-token-prediction layers as a model of their own, with the same embedding and head.

    Its operators are what one drafted token costs beside the model itself. Without such layers it has none.

    Example:
        >>> from steelyard import arch
        >>> prediction_model(arch.load("deepseek-v3")).num_layers
        1
    """
    return replace(
        model,
        layers=model.prediction,
        order=tuple(range(len(model.prediction))),
        stored=model.stored if model.prediction_stored is None else model.prediction_stored,
        prediction=(),
        towers=(),
        outer_norms=0,
        outer_params=0,
        layer_embedding=0,
    )


BLOCKS[Merge] = merge
BLOCKS[LayerInput] = layer_input
