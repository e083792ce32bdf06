"""Structures with mixtures of experts: from their configuration to layers."""

from __future__ import annotations

from steelyard.arch.fields import Fields
from steelyard.arch.reading import (
    CHUNKED,
    FULL,
    SLIDING,
    attention,
    decoder,
    kinds,
    mlp,
    moe,
    num_layers,
    prediction_layers,
    sequential,
    window,
)
from steelyard.arch.spec import LatentAttention, Model


def mixtral(fields: Fields) -> Model:
    layer = sequential(
        attention(fields, window=window(fields)),
        moe(fields, "num_local_experts", "intermediate_size"),
    )
    return decoder(fields, [layer] * num_layers(fields))


def qwen3_moe(fields: Fields) -> Model:
    bias = fields.flag("attention_bias")
    spec = attention(fields, norms="head", qkv_bias=bias, output_bias=bias, window=window(fields, switched=True))
    kinds(fields, (FULL,), lambda _: FULL)
    fields.flag("use_qk_norm", default=True)  # said by some, true for all
    shared = fields.count("shared_expert_intermediate_size", "width", default=0, minimum=0)
    experts = moe(fields, "num_experts", "moe_intermediate_size", shared_ffn=shared)
    dense_layers = set(fields.numbers("mlp_only_layers"))
    step = fields.count("decoder_sparse_step", "layers", default=1)
    feed_forward = mlp(fields) if fields.has("intermediate_size") else None
    layers = []
    for index in range(num_layers(fields)):
        sparse = index not in dense_layers and (index + 1) % step == 0
        layers.append(sequential(spec, experts if sparse else feed_forward or mlp(fields)))
    return decoder(fields, layers)


def gpt_oss(fields: Fields) -> Model:
    bias, size = fields.flag("attention_bias", default=True), fields.count("sliding_window", "tokens")
    experts = fields.count("num_local_experts", "experts")
    feed_forward = moe(fields, "num_local_experts", "intermediate_size", bias=True, router_params=experts)
    pattern = kinds(fields, (FULL, SLIDING), lambda i: SLIDING if i % 2 == 0 else FULL)
    layers = [
        sequential(
            attention(fields, qkv_bias=bias, output_bias=bias, sinks=True, window=size if kind == SLIDING else 0),
            feed_forward,
        )
        for kind in pattern
    ]
    fields.ignore("experts_per_token")
    return decoder(fields, layers)


def deepseek_v3(fields: Fields) -> Model:
    heads = fields.count("num_attention_heads", "heads")
    fields.ignore("num_key_value_heads", "head_dim", "qk_head_dim")  # follow from the ranks
    spec = LatentAttention(
        heads=heads,
        q_lora_rank=fields.count("q_lora_rank", "width", default=0),
        kv_lora_rank=fields.count("kv_lora_rank", "width"),
        nope_head_dim=fields.count("qk_nope_head_dim", "head_dim"),
        rope_head_dim=fields.count("qk_rope_head_dim", "head_dim"),
        v_head_dim=fields.count("v_head_dim", "head_dim"),
        bias=fields.flag("attention_bias"),
    )
    ffn = fields.count("moe_intermediate_size", "width")
    balanced = fields.choice("topk_method", ("noaux_tc", "greedy", "group_limited_greedy"), default="noaux_tc")
    experts = moe(
        fields,
        "n_routed_experts",
        "moe_intermediate_size",
        shared_ffn=ffn * fields.count("n_shared_experts", "experts", default=0, minimum=0),
        router_params=fields.count("n_routed_experts", "experts") if balanced == "noaux_tc" else 0,
    )
    dense_layers = fields.count("first_k_dense_replace", "layers", default=0, minimum=0)
    step = fields.count("moe_layer_freq", "layers", default=1)
    feed_forward = mlp(fields)
    layers = [
        sequential(spec, experts if index >= dense_layers and index % step == 0 else feed_forward)
        for index in range(num_layers(fields))
    ]
    return decoder(fields, layers, ignored=prediction_layers(fields, "num_nextn_predict_layers"))


def minimax_m2(fields: Fields) -> Model:
    if any(kind != 1 for kind in fields.numbers("attn_type_list")):
        fields.refuse("attn_type_list", "a list of 1 (softmax attention)")
    norms = "width" if fields.flag("use_qk_norm") else ""
    fields.choice("qk_norm_type", ("per_layer",), default="per_layer")
    fields.ignore("use_mtp", "mtp_transformer_layers")
    experts = fields.count("num_local_experts", "experts")
    feed_forward = moe(
        fields,
        "num_local_experts",
        "intermediate_size",
        router_params=experts if fields.flag("use_routing_bias") else 0,
        shared_ffn=fields.count("shared_intermediate_size", "width", default=0, minimum=0),
    )
    layer = sequential(attention(fields, norms=norms, window=window(fields)), feed_forward)
    return decoder(fields, [layer] * num_layers(fields), ignored=prediction_layers(fields, "num_mtp_modules"))


def llama4(fields: Fields) -> Model:
    bias, size = fields.flag("attention_bias"), fields.count("attention_chunk_size", "tokens")
    step = fields.count("interleave_moe_layer_step", "layers")
    period = fields.count("no_rope_layer_interval", "layers", default=4)  # layers without positions see all tokens
    pattern = kinds(fields, (FULL, CHUNKED), lambda i: CHUNKED if (i + 1) % period else FULL)
    fields.ignore("use_qk_norm")  # its norm has no weights
    shared = fields.count("intermediate_size", "width")
    experts = moe(fields, "num_local_experts", "intermediate_size", shared_ffn=shared)
    feed_forward = mlp(fields, "intermediate_size_mlp")
    layers = []
    for index, kind in enumerate(pattern):
        chunked = kind == CHUNKED
        spec = attention(fields, qkv_bias=bias, output_bias=bias, window=size if chunked else 0, chunked=chunked)
        layers.append(sequential(spec, experts if (index + 1) % step == 0 else feed_forward))
    return decoder(fields, layers)
