"""Structures with dense feed-forward blocks: from their configuration to layers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from steelyard.arch.fields import Fields
from steelyard.arch.reading import (
    FULL,
    SLIDING,
    attention,
    decoder,
    hidden_size,
    kinds,
    mlp,
    num_layers,
    prediction_layers,
    sequential,
    window,
)
from steelyard.arch.spec import Attention, Layer, Mlp, Model


def llama(fields: Fields) -> Model:
    bias = fields.flag("attention_bias")
    layer = sequential(
        attention(fields, qkv_bias=bias, output_bias=bias),
        mlp(fields, bias=fields.flag("mlp_bias")),
    )
    kinds(fields, (FULL,), lambda _: FULL)
    return decoder(fields, [layer] * num_layers(fields))


def mistral(fields: Fields) -> Model:
    size = window(fields)
    pattern = kinds(fields, (FULL, SLIDING), lambda _: SLIDING if size else FULL)
    feed_forward = mlp(fields)
    layers = [sequential(attention(fields, window=size if kind == SLIDING else 0), feed_forward) for kind in pattern]
    return decoder(fields, layers)


def qwen2(fields: Fields) -> Model:
    if not fields.flag("attention_bias", default=True):
        fields.refuse("attention_bias", "true (its queries, keys and values have biases)")
    return _qwen(fields, lambda size: attention(fields, qkv_bias=True, window=size))


def qwen3(fields: Fields) -> Model:
    bias = fields.flag("attention_bias")
    return _qwen(fields, lambda size: attention(fields, norms="head", qkv_bias=bias, output_bias=bias, window=size))


def _qwen(fields: Fields, attention_of: Callable[[int], Attention]) -> Model:
    size, full_layers = (
        window(fields, switched=True),
        fields.count("max_window_layers", "layers", default=0, minimum=0),
    )
    pattern = kinds(fields, (FULL, SLIDING), lambda i: SLIDING if size and i >= full_layers else FULL)
    feed_forward = mlp(fields)
    layers = [sequential(attention_of(size if kind == SLIDING else 0), feed_forward) for kind in pattern]
    return decoder(fields, layers)


def mimo(fields: Fields) -> Model:
    ignored = prediction_layers(fields, "num_nextn_predict_layers")
    return replace(qwen2(fields), ignored=ignored)


def gemma3(fields: Fields) -> Model:
    bias, size = fields.flag("attention_bias"), fields.count("sliding_window", "tokens")
    period = 0 if fields.has("layer_types") else fields.count("sliding_window_pattern", "layers")
    fields.ignore("sliding_window_pattern", "final_logit_softcapping", "attn_logit_softcapping")
    pattern = kinds(fields, (FULL, SLIDING), lambda i: SLIDING if (i + 1) % period else FULL)
    feed_forward = mlp(fields)
    layers = [
        sequential(
            attention(fields, norms="head", qkv_bias=bias, output_bias=bias, window=size if kind == SLIDING else 0),
            feed_forward,
            norms=4,
        )
        for kind in pattern
    ]
    return decoder(fields, layers, tied=True)


def falcon(fields: Fields) -> Model:
    new, bias = fields.flag("new_decoder_architecture"), fields.flag("bias")
    parallel = fields.flag("parallel_attn", default=True) or new
    hidden, heads = hidden_size(fields), fields.count("num_attention_heads", "heads")
    fields.ignore("alibi")
    multi_query = fields.flag("multi_query", default=True)
    kv_heads = fields.count("num_kv_heads", "heads", default=heads)
    if not new:
        kv_heads = 1 if multi_query else heads
    if hidden % heads or heads % kv_heads:
        fields.refuse("num_attention_heads", "a divisor of hidden_size and a multiple of num_kv_heads")
    ffn = fields.count("ffn_hidden_size", "width", default=4 * hidden)
    layer = Layer(
        blocks=(
            Attention(heads=heads, kv_heads=kv_heads, head_dim=hidden // heads, qkv_bias=bias, output_bias=bias),
            Mlp(ffn=ffn, gated=False, bias=bias),
        ),
        norms=fields.count("num_ln_in_parallel_attn", "layers", default=2 if new else 1) if parallel else 2,
        parallel=parallel,
    )
    return decoder(fields, [layer] * num_layers(fields), tied=True, norm_bias=True)


def _plain_mlp(fields: Fields) -> Mlp:
    ffn = fields.count("intermediate_size", "width", default=4 * hidden_size(fields))
    return Mlp(ffn=ffn, gated=False, bias=True)


def gpt2(fields: Fields) -> Model:
    layer = sequential(attention(fields, qkv_bias=True, output_bias=True), _plain_mlp(fields))
    return decoder(
        fields,
        [layer] * num_layers(fields),
        tied=True,
        norm_bias=True,
        learned_positions=fields.count("max_position_embeddings", "tokens"),
    )


def gptj(fields: Fields) -> Model:
    layer = Layer(blocks=(attention(fields), _plain_mlp(fields)), norms=1, parallel=True)
    return decoder(fields, [layer] * num_layers(fields), norm_bias=True, head_bias=True)
