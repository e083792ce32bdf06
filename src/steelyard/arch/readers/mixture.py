"""Structures with mixtures of experts and grouped-query attention."""

from __future__ import annotations

from collections.abc import Callable

from steelyard.arch.fields import Fields
from steelyard.arch.readers.common import (
    CHUNKED,
    FULL,
    SLIDING,
    Fact,
    attention,
    decoder,
    hidden_size,
    kinds,
    mlp,
    moe,
    num_layers,
    prediction,
    said,
    sequential,
    sparse_layers,
    window,
    windows,
)
from steelyard.arch.spec import Attention, Indexer, Layer, Model, Moe


def mixtral(fields: Fields) -> Model:
    layer = sequential(
        attention(fields, window=window(fields)),
        moe(fields, "num_local_experts", "intermediate_size"),
    )
    return decoder(fields, [layer] * num_layers(fields))


def phimoe(fields: Fields) -> Model:
    bias = fields.flag("attention_bias")
    layer = sequential(
        attention(fields, qkv_bias=bias, output_bias=bias, window=window(fields)),
        moe(fields, "num_local_experts", "intermediate_size"),
    )
    head_bias = fields.flag("lm_head_bias")
    return decoder(fields, [layer] * num_layers(fields), norm_vectors=2, head_bias=head_bias)


def granite_moe(fields: Fields) -> Model:
    bias = fields.flag("attention_bias")
    shared = fields.count("shared_intermediate_size", "width", default=0, minimum=0)
    layer = sequential(
        attention(fields, qkv_bias=bias, output_bias=bias),
        moe(fields, "num_local_experts", "intermediate_size", shared_ffn=shared),
    )
    return decoder(fields, [layer] * num_layers(fields))


def olmoe(fields: Fields) -> Model:
    bias = fields.flag("attention_bias")
    layer = sequential(
        attention(fields, norms="width", qkv_bias=bias, output_bias=bias),
        moe(fields, "num_experts", "intermediate_size"),
    )
    fields.ignore("clip_qkv")
    return decoder(fields, [layer] * num_layers(fields))


def qwen_experts(fields: Fields, *, shared_gate: bool = False) -> list[Moe | None]:
    """Return each layer's experts (None: dense) as Qwen's configurations state them."""
    shared = fields.count("shared_expert_intermediate_size", "width", default=0, minimum=0)
    experts = moe(
        fields,
        fields.stated("num_experts", "num_local_experts"),
        "moe_intermediate_size",
        shared_ffn=shared,
        shared_gate=shared_gate and shared > 0,
    )
    dense_layers = set(fields.numbers("mlp_only_layers"))
    step = fields.count("decoder_sparse_step", "layers", default=1)
    sparse = [index not in dense_layers and (index + 1) % step == 0 for index in range(num_layers(fields))]
    return [experts if one else None for one in sparse]


def _qwen_layers(fields: Fields, mixers: list[Attention], *, shared_gate: bool) -> list[Layer]:
    dense = mlp(fields) if fields.has("intermediate_size") else None
    experts = qwen_experts(fields, shared_gate=shared_gate)
    return [sequential(mixer, one or dense or mlp(fields)) for mixer, one in zip(mixers, experts, strict=True)]


def qwen2_moe(fields: Fields) -> Model:
    bias = fields.flag("qkv_bias", default=True)
    mixers = [attention(fields, qkv_bias=bias, window=size) for size in windows(fields, switched=True)]
    return decoder(fields, _qwen_layers(fields, mixers, shared_gate=True))


def qwen3_moe(fields: Fields) -> Model:
    bias = fields.flag("attention_bias")
    sizes = windows(fields, switched=True)
    mixers = [attention(fields, norms="head", qkv_bias=bias, output_bias=bias, window=size) for size in sizes]
    fields.flag("use_qk_norm", default=True)  # said by some, true for all
    return decoder(fields, _qwen_layers(fields, mixers, shared_gate=False))


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


def llama4(fields: Fields) -> Model:
    bias, size = fields.flag("attention_bias"), fields.count("attention_chunk_size", "tokens")
    step = fields.count("interleave_moe_layer_step", "layers")
    period = fields.count("no_rope_layer_interval", "layers", default=4)  # layers without positions see all tokens
    pattern = kinds(fields, (FULL, CHUNKED), lambda i: CHUNKED if (i + 1) % period else FULL)
    fields.ignore("use_qk_norm", "no_rope_layers")  # its norm has no weights
    sparse = fields.numbers("moe_layers") or [i for i in range(num_layers(fields)) if (i + 1) % step == 0]
    shared = fields.count("intermediate_size", "width")
    experts = moe(fields, "num_local_experts", "intermediate_size", shared_ffn=shared)
    feed_forward = mlp(fields, "intermediate_size_mlp")
    layers = []
    for index, kind in enumerate(pattern):
        chunked = kind == CHUNKED
        spec = attention(fields, qkv_bias=bias, output_bias=bias, window=size if chunked else 0, chunked=chunked)
        layers.append(sequential(spec, experts if index in sparse else feed_forward))
    return decoder(fields, layers)


def shared_experts(
    *,
    qk_norm: Fact = True,
    bias: Fact = "attention_bias",
    output_bias: Fact = False,
    router_bias: Fact = True,
    first_dense: int = 0,
    period: int = 0,
) -> Callable[[Fields], Model]:
    """Return the reader of structures with grouped queries, shared experts and a few dense layers first."""

    def read(fields: Fields) -> Model:
        routed = fields.stated("n_routed_experts", "num_experts")
        shared = fields.count(fields.stated("n_shared_experts", "num_shared_experts"), "experts", default=0, minimum=0)
        own = fields.stated("moe_shared_expert_intermediate_size", "moe_intermediate_size")
        experts = moe(
            fields,
            routed,
            "moe_intermediate_size",
            shared_ffn=shared * fields.count(own, "width"),
            router_buffers=fields.count(routed, "experts") if said(fields, router_bias) else 0,
        )
        fields.ignore("topk_method", "expert_hidden_dim")
        sparse = sparse_layers(fields, first_dense=first_dense)
        dense = mlp(fields) if not all(sparse) else experts
        fields.ignore("intermediate_size")
        norms = "head" if said(fields, qk_norm) else ""
        qkv, out = said(fields, bias), said(fields, output_bias)
        layers = [
            sequential(
                attention(fields, norms=norms, window=size, qkv_bias=qkv, output_bias=out), experts if one else dense
            )
            for size, one in zip(windows(fields, period=period), sparse, strict=True)
        ]
        return decoder(fields, layers, prediction=prediction(fields, layers[-1], "num_nextn_predict_layers"))

    return read


def ernie4_5_moe(fields: Fields) -> Model:
    bias = fields.flag("use_bias")
    width = fields.count("moe_intermediate_size", "width")
    experts = moe(
        fields,
        "moe_num_experts",
        "moe_intermediate_size",
        top_k_key="moe_k",
        shared_ffn=width * fields.count("moe_num_shared_experts", "experts", default=0, minimum=0),
        router_params=fields.count("moe_num_experts", "experts"),
    )
    dense, spec = mlp(fields, bias=bias), attention(fields, qkv_bias=bias, output_bias=bias)
    count = num_layers(fields)
    first = fields.count("moe_layer_start_index", "layers", default=1, minimum=0)
    last = fields.values.get("moe_layer_end_index")
    last = count - 1 if last == -1 else fields.count("moe_layer_end_index", "layers", default=count - 1, minimum=0)
    step = fields.count("moe_layer_interval", "layers", default=1)
    fields.ignore("moe_layer_end_index", "moe_norm_min", "moe_capacity", "moe_gate", "moe_use_aux_free", "use_moe")
    sparse = [(index + 1) % step == 0 and first <= index <= last for index in range(count)]
    layers = [sequential(spec, experts if one else dense) for one in sparse]
    extra = prediction(fields, sequential(spec, dense), "num_nextn_predict_layers")
    return decoder(fields, layers, tied=True, prediction=extra)


def hunyuan_v1_moe(fields: Fields) -> Model:
    bias = fields.flag("attention_bias")
    for key in ("use_cla", "use_mla", "moe_layer_num_skipped"):
        if fields.has(key) and fields.values[key]:
            fields.refuse(key, "false or 0")
    fields.ignore("cla_share_factor", "dense_list", "use_mixed_mlp_moe", "num_media_embeds", "vit_input_resolution")
    fields.values.setdefault("head_dim", fields.values.get("attention_head_dim"))
    fields.ignore("attention_head_dim")
    norms = "head" if fields.flag("use_qk_norm", default=True) else ""
    spec = attention(fields, norms=norms, qkv_bias=bias, output_bias=bias)
    shared = fields.first_count("num_shared_expert", "experts", default=1)
    experts = Moe(
        experts=fields.count("num_experts", "experts"),
        top_k=fields.first_count("moe_topk", "experts"),
        ffn=fields.first_count("moe_intermediate_size", "width", default=fields.count("intermediate_size", "width")),
        shared_ffn=shared * fields.count("intermediate_size", "width"),
    )
    if experts.top_k > experts.experts:
        fields.refuse("moe_topk", f"at most num_experts ({experts.experts})")
    return decoder(fields, [sequential(spec, experts)] * num_layers(fields))


def minimax_m2(fields: Fields) -> Model:
    if any(kind != 1 for kind in fields.numbers("attn_type_list")):
        fields.refuse("attn_type_list", "a list of 1 (softmax attention)")
    norms = "width" if fields.flag("use_qk_norm", default=True) else ""
    fields.choice("qk_norm_type", ("per_layer",), default="per_layer")
    fields.ignore("use_mtp", "mtp_transformer_layers")
    experts = fields.count("num_local_experts", "experts")
    feed_forward = moe(
        fields,
        "num_local_experts",
        "intermediate_size",
        router_buffers=experts if fields.flag("use_routing_bias", default=True) else 0,
        shared_ffn=fields.count("shared_intermediate_size", "width", default=0, minimum=0),
    )
    layer = sequential(attention(fields, norms=norms, window=window(fields)), feed_forward)
    extra = prediction(fields, layer, "num_mtp_modules")
    return decoder(fields, [layer] * num_layers(fields), prediction=extra)


def minimax_m3(fields: Fields) -> Model:
    gate = "element" if fields.flag("attention_output_gate") else ""
    norms = "head" if fields.flag("use_qk_norm", default=True) else ""
    fields.choice("qk_norm_type", ("per_head",), default="per_head")
    experts = fields.count("num_local_experts", "experts")
    width = fields.stated("moe_intermediate_size", "intermediate_size")
    shared = fields.count("n_shared_experts", "experts", default=1, minimum=0)
    feed_forward = moe(
        fields,
        "num_local_experts",
        width,
        router_buffers=experts if fields.flag("use_routing_bias", default=True) else 0,
        shared_ffn=shared * fields.count("shared_intermediate_size", "width", default=fields.count(width, "width")),
    )
    fields.ignore("use_gemma_norm", "swiglu_alpha", "intermediate_size")
    dense = mlp(fields, "dense_intermediate_size")
    sparse, chosen = sparse_layers(fields), _selecting_layers(fields)
    index = _block_indexer(fields) if any(chosen) else None
    layers = [
        sequential(
            attention(fields, norms=norms, gate=gate, index=index if select else None), feed_forward if one else dense
        )
        for one, select in zip(sparse, chosen, strict=True)
    ]
    extra = prediction(fields, layers[-1], "num_nextn_predict_layers", "num_mtp_modules")
    return decoder(fields, layers, prediction=extra)


def _selecting_layers(fields: Fields) -> list[bool]:
    inner, count = fields.part("sparse_attention_config"), num_layers(fields)
    if not inner.flag("use_sparse_attention"):
        return [False] * count
    marks = inner.numbers("sparse_attention_freq") or [1] * count
    if len(marks) != count:
        inner.refuse("sparse_attention_freq", f"a list of {count}, one per layer")
    return [bool(mark) for mark in marks]


def _block_indexer(fields: Fields) -> Indexer:
    inner = fields.part("sparse_attention_config")
    dim = inner.count("sparse_index_dim", "head_dim")
    blocks = inner.count("sparse_topk_blocks", "tokens") * inner.count("sparse_block_size", "tokens")
    return Indexer(
        heads=inner.count("sparse_num_index_heads", "heads"), head_dim=dim, selected=blocks, norm_params=2 * dim
    )


def step3(fields: Fields) -> Model:
    count = num_layers(fields)
    for key in ("layer_types", "mlp_layer_types"):  # some files list the prediction layers too
        stated = fields.values.get(key)
        if isinstance(stated, list):
            fields.values[key] = stated[:count]
    experts_key = fields.stated("num_experts", "moe_num_experts")
    top_k_key = fields.stated("num_experts_per_tok", "moe_top_k")
    experts = fields.count(experts_key, "experts")
    feed_forward = moe(
        fields,
        experts_key,
        "moe_intermediate_size",
        top_k_key=top_k_key,
        shared_ffn=fields.count("share_expert_dim", "width", default=fields.count("moe_intermediate_size", "width")),
        router_buffers=experts if fields.flag("use_moe_router_bias", default=True) else 0,
    )
    fields.ignore("moe_router_scaling_factor", "n_shared_experts", "need_fp32_gate", "use_head_wise_attn_gate")
    dense = mlp(fields)
    gate = "head" if fields.flag("use_head_wise_attn_gate", default=True) else ""
    layers = [
        sequential(attention(fields, norms="head", gate=gate, window=size), feed_forward if one else dense)
        for size, one in zip(windows(fields, period=4), sparse_layers(fields, first_dense=3), strict=True)
    ]
    local = attention(fields, norms="head", gate=gate, window=fields.count("sliding_window", "tokens", default=0))
    extra = prediction(fields, sequential(local, dense), "num_nextn_predict_layers")  # they have no experts
    return decoder(fields, layers, prediction=extra)


def dbrx(fields: Fields) -> Model:
    attn, ffn = fields.part("attn_config"), fields.part("ffn_config")
    heads, hidden = fields.count("num_attention_heads", "heads"), hidden_size(fields)
    if hidden % heads:
        fields.refuse("num_attention_heads", f"a divisor of hidden_size ({hidden})")
    spec = Attention(heads=heads, kv_heads=attn.count("kv_n_heads", "heads"), head_dim=hidden // heads)
    if heads % spec.kv_heads:
        attn.refuse("kv_n_heads", f"a divisor of n_heads ({heads})")
    experts = moe(ffn, "moe_num_experts", "ffn_hidden_size", top_k_key="moe_top_k")
    return decoder(fields, [sequential(spec, experts)] * num_layers(fields))
