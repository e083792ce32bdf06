"""Structures whose layers differ in width or depth from one another: searched architectures, Gemma 4, MiMo V2."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from steelyard.arch.fields import Fields
from steelyard.arch.prediction import LayerInput
from steelyard.arch.readers.common import (
    FULL,
    SLIDING,
    attention,
    decoder,
    head_dim,
    hidden_size,
    kinds,
    mlp,
    moe,
    num_layers,
    sequential,
    sparse_layers,
)
from steelyard.arch.spec import Attention, Layer, Mlp, Model, Moe

_FFN_MULTIPLE = 256  # widths are rounded up to it


def nemotron_nas(fields: Fields) -> Model:
    """Return a searched Llama: `block_configs` states for each layer its heads and width, or that it has none."""
    count = num_layers(fields)
    stated = fields.values.get("block_configs")
    if not fields.has("block_configs") or not isinstance(stated, list) or len(stated) != count:
        fields.refuse("block_configs", f"a list of {count}, one per layer")
    fields.ignore("num_key_value_heads", "intermediate_size")
    if not all(isinstance(one, Mapping) for one in stated):
        fields.refuse("block_configs", f"a list of {count} mappings with attention and ffn")
    layers = []
    for one in stated:
        inner = Fields(one, f"{fields.where}: block_configs")
        blocks = [block for block in (_searched_attention(fields, inner), _searched_mlp(fields, inner)) if block]
        layers.append(Layer(blocks=tuple(blocks), norms=len(blocks)))
    return decoder(fields, layers)


def _searched_attention(fields: Fields, block: Fields) -> Attention | None:
    part = block.part("attention")
    if part.flag("no_op"):
        return None
    for key in ("replace_with_linear", "sparsify", "num_sink_tokens", "unshifted_sink"):
        if part.values.get(key):
            part.refuse(key, "null or false")
    heads = fields.count("num_attention_heads", "heads")
    group = part.count("n_heads_in_group", "heads")
    if heads % group:
        part.refuse("n_heads_in_group", f"a divisor of num_attention_heads ({heads})")
    bias = fields.flag("attention_bias")
    window = part.count("window_length", "tokens", default=0)
    dim = head_dim(fields, heads)
    return Attention(heads=heads, kv_heads=heads // group, head_dim=dim, qkv_bias=bias, output_bias=bias, window=window)


def _searched_mlp(fields: Fields, block: Fields) -> Mlp | None:
    part = block.part("ffn")
    if part.flag("no_op"):
        return None
    for key in ("replace_with_linear", "sparsify", "moe"):
        if part.values.get(key):
            part.refuse(key, "null or false")
    bias = fields.flag("mlp_bias")
    if part.has("intermediate_size"):
        return Mlp(ffn=part.count("intermediate_size", "width"), bias=bias)
    factor = part.values.get("ffn_mult")
    if isinstance(factor, bool) or not isinstance(factor, (int, float)) or not 0 < factor <= 64:
        part.refuse("ffn_mult", "a number above 0, at most 64")
    width = int(2 * factor * hidden_size(fields) / 3)
    return Mlp(ffn=_FFN_MULTIPLE * -(-width // _FFN_MULTIPLE), bias=bias)


def gemma4(fields: Fields) -> Model:
    """Return Gemma 4: wider heads where a layer sees all tokens, keys that are values, experts beside a dense block."""
    count = num_layers(fields)
    pattern = kinds(fields, (FULL, SLIDING), lambda i: SLIDING if (i + 1) % 6 and i + 1 < count else FULL)
    shared_from = count - fields.count("num_kv_shared_layers", "layers", default=0, minimum=0)
    own_input = fields.count("hidden_size_per_layer_input", "width", default=0, minimum=0)
    mixers = _gemma4_mixers(fields, pattern)
    dense = Mlp(ffn=fields.count("intermediate_size", "width"))
    wide = fields.flag("use_double_wide_mlp")
    experts = _gemma4_experts(fields) if fields.flag("enable_moe_block") else None
    fields.ignore("use_bidirectional_attention", "final_logit_softcapping", "vocab_size_per_layer_input")
    fields.ignore("expert_intermediate_size")
    layers = []
    for index, kind in enumerate(pattern):
        shared = index >= shared_from
        feed_forward = replace(dense, ffn=2 * dense.ffn) if wide and shared else dense
        mixer = mixers[kind]
        if shared:  # its keys, and their norm, are those of an earlier layer
            mixer = replace(mixer, own_cache=False, norm_params=mixer.head_dim)
        blocks: list[Any] = [mixer, feed_forward]
        blocks += [experts] if experts else []
        blocks += [LayerInput(width=own_input)] if own_input else []
        layers.append(Layer(blocks=tuple(blocks), norms=4 + (3 if experts else 0) + (1 if own_input else 0)))
    if own_input and fields.count("vocab_size_per_layer_input", "vocab") != fields.count("vocab_size", "vocab"):
        fields.refuse("vocab_size_per_layer_input", "the vocab_size")
    return decoder(fields, layers, tied=True, layer_embedding=own_input * count, outer_params=own_input)


def _gemma4_mixers(fields: Fields, pattern: list[str]) -> dict[str, Attention]:
    bias = fields.flag("attention_bias")
    local = attention(
        fields, norms="head", qkv_bias=bias, output_bias=bias, window=fields.count("sliding_window", "tokens")
    )
    same, wide = fields.flag("attention_k_eq_v"), _gemma4_wide(fields, pattern)
    dim = wide.count(wide.stated("global_head_dim", "head_dim"), "head_dim")
    kv_key = wide.stated("num_global_key_value_heads", "num_key_value_heads")
    kv_heads = wide.count(kv_key, "heads", default=local.kv_heads) if same else local.kv_heads
    if local.heads % kv_heads:
        fields.refuse("num_global_key_value_heads", f"a divisor of num_attention_heads ({local.heads})")
    full = replace(local, window=0, head_dim=dim, kv_heads=kv_heads, norm_params=2 * dim, key_is_value=same)
    return {SLIDING: local, FULL: full}


def _gemma4_wide(fields: Fields, pattern: list[str]) -> Fields:
    """Return the keys of layers that see all tokens: named "global", or stated for each such layer."""
    fields.ignore("global_head_dim", "num_global_key_value_heads")
    if not fields.has("per_layer_config"):
        return fields
    stated = fields.part("per_layer_config").values
    of_layer = {int(index): value for index, value in stated.items() if str(index).isdigit()}
    full = [of_layer.get(index) for index, kind in enumerate(pattern) if kind == FULL]
    if not full or any(one != full[0] or not isinstance(one, Mapping) for one in full):
        fields.refuse("per_layer_config", "the same mapping for each layer with full_attention")
    return Fields({**fields.values, **dict(full[0] or {})}, f"{fields.where}: per_layer_config")


def _gemma4_experts(fields: Fields) -> Moe:
    experts, top_k = fields.count("num_experts", "experts"), fields.count("top_k_experts", "experts")
    if top_k > experts:
        fields.refuse("top_k_experts", f"at most num_experts ({experts})")
    return Moe(
        experts=experts,
        top_k=top_k,
        ffn=fields.count("moe_intermediate_size", "width"),
        router_params=experts + hidden_size(fields),  # a scale per expert, and one for the router's input
    )


def mimo_v2_flash(fields: Fields) -> Model:
    """Return MiMo V2 Flash: most layers see a short window, with twice the key-value heads and sinks; narrow values."""
    count, marks = num_layers(fields), fields.numbers("hybrid_layer_pattern")
    if marks and len(marks) != count:
        fields.refuse("hybrid_layer_pattern", f"a list of {count}, one per layer")
    local = [bool(mark) for mark in marks] or [index > 0 and (index + 1) % 6 > 0 for index in range(count)]
    pattern = kinds(fields, (FULL, SLIDING), lambda i: SLIDING if local[i] else FULL)
    bias = fields.flag("attention_bias")
    full = attention(
        fields,
        v_head_dim=fields.count("v_head_dim", "head_dim"),
        qkv_bias=bias,
        sinks=fields.flag("add_full_attention_sink_bias"),
    )
    window = fields.count("sliding_window_size", "tokens", default=0, minimum=0)  # tokens before the query's own
    sliding = replace(
        full,
        heads=fields.count("swa_num_attention_heads", "heads", default=full.heads),
        kv_heads=fields.count("swa_num_key_value_heads", "heads", default=2 * full.kv_heads),
        head_dim=fields.count("swa_head_dim", "head_dim", default=full.head_dim),
        v_head_dim=fields.count("swa_v_head_dim", "head_dim", default=full.v_head_dim),
        window=window + 1 if window else fields.count("sliding_window", "tokens"),
        sinks=fields.flag("add_swa_attention_sink_bias", default=True),
    )
    if sliding.heads % sliding.kv_heads:
        fields.refuse("swa_num_key_value_heads", f"a divisor of swa_num_attention_heads ({sliding.heads})")
    routed = fields.count("n_routed_experts", "experts")
    experts, dense = moe(fields, "n_routed_experts", "moe_intermediate_size", router_buffers=routed), mlp(fields)
    fields.choice("topk_method", ("noaux_tc",), default="noaux_tc")
    fields.ignore("attention_chunk_size", "attention_value_scale", "swa_rope_theta", "sliding_window")
    return decoder(
        fields,
        [
            sequential(sliding if kind == SLIDING else full, experts if one else dense)
            for kind, one in zip(pattern, sparse_layers(fields, first_dense=1), strict=True)
        ],
    )
