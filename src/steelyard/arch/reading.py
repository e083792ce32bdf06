"""What most structures share when they read their configuration."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

from steelyard.arch.fields import Fields
from steelyard.arch.spec import Attention, LatentAttention, Layer, Mlp, Model, Moe

FULL, SLIDING, CHUNKED = "full_attention", "sliding_attention", "chunked_attention"


def decoder(fields: Fields, layers: Iterable[Layer], *, tied: bool = False, **more: Any) -> Model:
    """Return the model around its layers: sizes that every configuration has, equal layers counted."""
    return Model(
        id="",
        name="",
        hidden=hidden_size(fields),
        vocab=fields.count("vocab_size", "vocab"),
        layers=tuple(Counter(layers).items()),
        max_context_tokens=fields.count("max_position_embeddings", "tokens"),
        tied_embeddings=fields.flag("tie_word_embeddings", default=tied),
        **more,
    )


def hidden_size(fields: Fields) -> int:
    return fields.count("hidden_size", "hidden")


def num_layers(fields: Fields) -> int:
    return fields.count("num_hidden_layers", "layers")


def attention(fields: Fields, *, norms: str = "", **more: Any) -> Attention:
    """Return grouped-query attention; `norms` of queries and keys are per "head", over their "width", or none."""
    heads = fields.count("num_attention_heads", "heads")
    kv_heads = fields.count("num_key_value_heads", "heads", default=heads)
    if heads % kv_heads:
        fields.refuse("num_key_value_heads", f"a divisor of num_attention_heads ({heads})")
    if not fields.has("head_dim") and hidden_size(fields) % heads:
        fields.refuse("num_attention_heads", f"a divisor of hidden_size ({hidden_size(fields)}), or head_dim stated")
    dim = fields.count("head_dim", "head_dim", default=hidden_size(fields) // heads)
    norm_params = {"": 0, "head": 2 * dim, "width": (heads + kv_heads) * dim}[norms]
    return Attention(heads=heads, kv_heads=kv_heads, head_dim=dim, norm_params=norm_params, **more)


def mlp(fields: Fields, key: str = "intermediate_size", **more: Any) -> Mlp:
    return Mlp(ffn=fields.count(key, "width"), **more)


def moe(fields: Fields, experts_key: str, ffn_key: str, **more: Any) -> Moe:
    experts = fields.count(experts_key, "experts")
    top_k = fields.count("num_experts_per_tok", "experts")
    if top_k > experts:
        fields.refuse("num_experts_per_tok", f"at most {experts_key} ({experts})")
    return Moe(experts=experts, top_k=top_k, ffn=fields.count(ffn_key, "width"), **more)


def window(fields: Fields, *, switched: bool = False) -> int:
    """Return the sliding window (0: none); a `switched` one holds only with `use_sliding_window`."""
    size = fields.count("sliding_window", "tokens", default=0)
    fields.ignore("max_window_layers")
    on = fields.flag("use_sliding_window", default=not switched)
    return size if on else 0


def kinds(fields: Fields, known: tuple[str, ...], default: Callable[[int], str]) -> list[str]:
    """Return the attention kind of each layer, from `layer_types` or the structure's own pattern."""
    count = num_layers(fields)
    return fields.words("layer_types", known, count) or [default(index) for index in range(count)]


def sequential(attention_spec: Attention | LatentAttention, feed_forward: Mlp | Moe, norms: int = 2) -> Layer:
    return Layer(blocks=(attention_spec, feed_forward), norms=norms)


def prediction_layers(fields: Fields, key: str) -> tuple[str, ...]:
    extra = fields.count(key, "layers", default=0, minimum=0)
    return (f"{extra} multi-token-prediction layer{'s' if extra > 1 else ''}",) if extra else ()
