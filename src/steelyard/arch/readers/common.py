"""What most structures share when they read their configuration."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from steelyard.arch.fields import Fields
from steelyard.arch.prediction import Merge
from steelyard.arch.spec import Attention, Layer, Mlp, Model, Moe

FULL, SLIDING, CHUNKED, LINEAR = "full_attention", "sliding_attention", "chunked_attention", "linear_attention"

UNBOUNDED_TOKENS = 2**34
"""The longest context of structures that have no position to run out of: states, biases by distance."""

Fact = bool | str | tuple[str, bool]
"""True or false for all models of a structure, or the key that says so (with what holds where it does not)."""


def decoder(fields: Fields, layers: Iterable[Layer], *, tied: bool = False, **more: Any) -> Model:
    """Return the model around its layers: sizes that every configuration has, equal layers counted."""
    kinds: dict[Layer, int] = {}
    order = tuple(kinds.setdefault(layer, len(kinds)) for layer in layers)
    return Model(
        id="",
        name="",
        hidden=hidden_size(fields),
        vocab=fields.count("vocab_size", "vocab"),
        layers=tuple((layer, order.count(index)) for layer, index in kinds.items()),
        order=order,
        max_context_tokens=fields.count("max_position_embeddings", "tokens"),
        tied_embeddings=fields.flag("tie_word_embeddings", default=tied),
        **more,
    )


def hidden_size(fields: Fields) -> int:
    return fields.count("hidden_size", "hidden")


def num_layers(fields: Fields) -> int:
    return fields.count("num_hidden_layers", "layers")


def said(fields: Fields, fact: Fact) -> bool:
    """Return a fact of the structure, or what the configuration says about it."""
    if isinstance(fact, bool):
        return fact
    key, default = (fact, False) if isinstance(fact, str) else fact
    return fields.flag(key, default=default)


def attention(fields: Fields, *, norms: str = "", heads_key: str = "num_attention_heads", **more: Any) -> Attention:
    """Return grouped-query attention with norms on queries and keys.

    `norms`: one for all heads ("head", with a shift "head_shift"), one each ("heads"), over their "width", or none.
    """
    heads = fields.count(heads_key, "heads")
    kv_heads = fields.count("num_key_value_heads", "heads", default=heads)
    if heads % kv_heads:
        fields.refuse("num_key_value_heads", f"a divisor of {heads_key} ({heads})")
    dim = head_dim(fields, heads)
    whole = (heads + kv_heads) * dim
    norm_params = {"": 0, "head": 2 * dim, "head_shift": 4 * dim, "width": whole, "heads": whole}[norms]
    return Attention(heads=heads, kv_heads=kv_heads, head_dim=dim, norm_params=norm_params, **more)


def head_dim(fields: Fields, heads: int) -> int:
    """Return the stated width of a head, or the hidden size divided by the heads."""
    if not fields.has("head_dim") and hidden_size(fields) % heads:
        fields.refuse("num_attention_heads", f"a divisor of hidden_size ({hidden_size(fields)}), or head_dim stated")
    return fields.count("head_dim", "head_dim", default=hidden_size(fields) // heads)


def mlp(fields: Fields, key: str = "intermediate_size", **more: Any) -> Mlp:
    return Mlp(ffn=fields.count(key, "width"), **more)


def moe(fields: Fields, experts_key: str, ffn_key: str, *, top_k_key: str = "num_experts_per_tok", **more: Any) -> Moe:
    experts = fields.count(experts_key, "experts")
    top_k = fields.count(top_k_key, "experts")
    if top_k > experts:
        fields.refuse(top_k_key, f"at most {experts_key} ({experts})")
    groups = fields.count("n_group", "experts", default=1)
    top_groups = fields.count("topk_group", "experts", default=groups)
    limited = top_groups if top_groups < groups else 0
    return Moe(experts=experts, top_k=top_k, ffn=fields.count(ffn_key, "width"), top_groups=limited, **more)


def window(fields: Fields, *, switched: bool = False) -> int:
    """Return the sliding window (0: none); a `switched` one holds only with `use_sliding_window`."""
    size = fields.count("sliding_window", "tokens", default=0, minimum=0)
    fields.ignore("max_window_layers")
    on = fields.flag("use_sliding_window", default=not switched)
    return size if on else 0


def windows(fields: Fields, *, period: int = 0, switched: bool = False) -> list[int]:
    """Return each layer's window (0: it sees all), from `layer_types` or every `period`-th layer seeing all."""
    size = window(fields, switched=switched)
    if fields.has("sliding_window_pattern"):
        period = _period(fields)
    first = fields.count("max_window_layers", "layers", default=0, minimum=0) if switched else 0

    def kind(index: int) -> str:
        full = not size or index < first or (period and (index + 1) % period == 0)
        return FULL if full else SLIDING

    of_layers = kinds(fields, (FULL, SLIDING), kind)
    if SLIDING in of_layers and not size:
        size = fields.count("sliding_window", "tokens")
    return [size if kind == SLIDING else 0 for kind in of_layers]


def _period(fields: Fields) -> int:
    stated = fields.values["sliding_window_pattern"]
    if isinstance(stated, str) and stated.strip("L") == "G" and stated.endswith("G"):
        return len(stated)  # "LLLG": three local layers, then a global one
    return fields.count("sliding_window_pattern", "layers")


def kinds(fields: Fields, known: tuple[str, ...], default: Callable[[int], str]) -> list[str]:
    """Return the kind of each layer, from `layer_types` or the structure's own pattern."""
    count = num_layers(fields)
    return fields.words("layer_types", known, count) or [default(index) for index in range(count)]


def sparse_layers(fields: Fields, *, first_dense: int = 0) -> list[bool]:
    """Return for each layer whether it has experts: a list says so, or the first few are dense and every nth sparse."""
    count = num_layers(fields)
    listed = fields.words("mlp_layer_types", ("dense", "sparse"), count)
    dense = fields.count("first_k_dense_replace", "layers", default=first_dense, minimum=0)
    if isinstance(fields.values.get("moe_layer_freq"), list):
        marks = fields.numbers("moe_layer_freq")
        if len(marks) != count:
            fields.refuse("moe_layer_freq", f"a number, or a list of {count}, one per layer")
        return [bool(mark) for mark in marks]
    step = fields.count("moe_layer_freq", "layers", default=1)
    if fields.count("decoder_sparse_step", "layers", default=1) != 1:
        fields.refuse("decoder_sparse_step", "1 (state mlp_layer_types or moe_layer_freq)")
    if listed:
        return [kind == "sparse" for kind in listed]
    return [index >= dense and index % step == 0 for index in range(count)]


def sequential(mixer: Any, feed_forward: Mlp | Moe, norms: int = 2) -> Layer:
    return Layer(blocks=(mixer, feed_forward), norms=norms)


def prediction(fields: Fields, layer: Layer, *keys: str, streams: bool = False) -> tuple[tuple[Layer, int], ...]:
    """Return the multi-token-prediction layers: as many as the first stated key says, each like `layer`."""
    count = 0
    for key in keys:
        stated = fields.count(key, "layers", default=0, minimum=0)
        count = count or stated
    module = Layer(blocks=(Merge(), *layer.blocks), norms=layer.norms, streams=layer.streams if streams else 1)
    return ((module, count),) if count else ()
