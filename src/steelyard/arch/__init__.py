"""From a model record or config.json to parameters and operators.

    load, from_config, read_config        -> Model (layers of blocks: shapes only)
    count_params, weight_bytes, beside_bytes, cache_bytes, cache_growth, ring
    forward_operators, backward_operators -> Operator records that `device` times
    flop_per_token, training_flop_per_token, activation_bytes_per_token_layer
    describe                              -> what was understood, layer by layer

A new layer kind is a specification (spec.py), one function that says what it consists of, and one line in
`parts.BLOCKS`; a new `model_type` is one line in `readers.READERS`, or in the table of dense families.
"""

from steelyard.arch import attention as _attention  # these register their layer kinds
from steelyard.arch import compressed as _compressed
from steelyard.arch import feed_forward as _feed_forward
from steelyard.arch import latent as _latent
from steelyard.arch import recurrent as _recurrent
from steelyard.arch.backward import backward_operators
from steelyard.arch.cache import CacheGrowth, cache_growth
from steelyard.arch.config import read_config
from steelyard.arch.conventions import CONVENTIONS, Convention, training_flop_per_token
from steelyard.arch.counts import (
    BesideBytes,
    Params,
    Ring,
    beside_bytes,
    cache_bytes,
    count_params,
    ring,
    weight_bytes,
)
from steelyard.arch.describe import BlockFacts, Description, LayerFacts, describe
from steelyard.arch.dtypes import dtype_bytes
from steelyard.arch.flop import USUAL_RECOMPUTED, activation_bytes_per_token_layer, flop_per_token
from steelyard.arch.forward import forward_operators
from steelyard.arch.load import from_config, load
from steelyard.arch.operators import experts_hit
from steelyard.arch.prediction import prediction_model
from steelyard.arch.spec import Attention, LatentAttention, Layer, Mlp, Model, Moe

NOT_MODELLED: tuple[str, ...] = (
    "speculative drafts (multi-token-prediction layers are counted beside the model, and are a model of their own)",
    "the work of vision and audio towers (their parameters are counted beside the model where their shape is known)",
    "uneven load of experts, unless its factor is given",
    "the work of LoRA adapters themselves",
    "arithmetic of elementwise work and routing (its memory traffic is counted)",
    "padding of widths that tensor parallelism does not divide, beyond the busiest rank",
)
"""What the operators leave out."""

__all__ = [
    "CONVENTIONS",
    "NOT_MODELLED",
    "USUAL_RECOMPUTED",
    "Attention",
    "BesideBytes",
    "BlockFacts",
    "CacheGrowth",
    "Convention",
    "Description",
    "LatentAttention",
    "Layer",
    "LayerFacts",
    "Mlp",
    "Model",
    "Moe",
    "Params",
    "Ring",
    "activation_bytes_per_token_layer",
    "backward_operators",
    "beside_bytes",
    "cache_bytes",
    "cache_growth",
    "count_params",
    "describe",
    "dtype_bytes",
    "experts_hit",
    "flop_per_token",
    "forward_operators",
    "from_config",
    "load",
    "prediction_model",
    "read_config",
    "ring",
    "training_flop_per_token",
    "weight_bytes",
]
del _attention, _compressed, _feed_forward, _latent, _recurrent
