"""From a model record or config.json to parameters and operators.

    load, from_config, read_config        -> Model (layers of blocks: shapes only)
    count_params, weight_bytes, cache_bytes
    forward_operators, backward_operators -> Operator records that `device` times
    flop_per_token, activation_bytes_per_token_layer

A new layer kind is a specification (spec.py), one function that says what it consists of, and one line in
`parts.BLOCKS`; a new `model_type` is one function and one line in `readers.READERS`.
"""

from steelyard.arch import attention as _attention  # registers its layer kinds
from steelyard.arch import feed_forward as _feed_forward
from steelyard.arch.backward import backward_operators
from steelyard.arch.config import read_config
from steelyard.arch.counts import Params, cache_bytes, count_params, weight_bytes
from steelyard.arch.dtypes import dtype_bytes
from steelyard.arch.flop import activation_bytes_per_token_layer, flop_per_token
from steelyard.arch.forward import forward_operators
from steelyard.arch.load import from_config, load
from steelyard.arch.operators import experts_hit
from steelyard.arch.spec import Attention, LatentAttention, Layer, Mlp, Model, Moe

NOT_MODELLED: tuple[str, ...] = (
    "multi-token-prediction layers and speculative drafts",
    "vision and audio towers of multimodal models",
    "uneven load of experts",
    "the work of LoRA adapters themselves",
    "arithmetic of elementwise work and routing (its memory traffic is counted)",
    "padding of widths that tensor parallelism does not divide, beyond the busiest rank",
)
"""What the operators leave out."""

__all__ = [
    "NOT_MODELLED",
    "Attention",
    "LatentAttention",
    "Layer",
    "Mlp",
    "Model",
    "Moe",
    "Params",
    "activation_bytes_per_token_layer",
    "backward_operators",
    "cache_bytes",
    "count_params",
    "dtype_bytes",
    "experts_hit",
    "flop_per_token",
    "forward_operators",
    "from_config",
    "load",
    "read_config",
    "weight_bytes",
]
del _attention, _feed_forward
