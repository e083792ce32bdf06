"""Structures with multi-head latent attention, sparse by an indexer or compressed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from steelyard.arch.compressed import CompressedAttention
from steelyard.arch.fields import Fields
from steelyard.arch.readers.common import (
    FULL,
    LINEAR,
    SLIDING,
    decoder,
    hidden_size,
    kinds,
    mlp,
    moe,
    num_layers,
    prediction,
    sequential,
    sparse_layers,
)
from steelyard.arch.recurrent import GatedDelta
from steelyard.arch.spec import Indexer, LatentAttention, Layer, Model, Moe

_SPARSE, _HEAVY = "compressed_sparse_attention", "heavily_compressed_attention"
_SPARSE_RATIO, _HEAVY_RATIO = 4, 128  # how files without `layer_types` tell the two kinds apart


def _attention(fields: Fields, index: Indexer | None = None) -> LatentAttention:
    fields.ignore("num_key_value_heads", "head_dim", "qk_head_dim")  # follow from the ranks
    return LatentAttention(
        heads=fields.count("num_attention_heads", "heads"),
        q_lora_rank=fields.count("q_lora_rank", "width", default=0, minimum=0),
        kv_lora_rank=fields.count("kv_lora_rank", "width"),
        nope_head_dim=fields.count("qk_nope_head_dim", "head_dim"),
        rope_head_dim=fields.count("qk_rope_head_dim", "head_dim"),
        v_head_dim=fields.count("v_head_dim", "head_dim"),
        bias=fields.flag("attention_bias"),
        index=index,
    )


def _experts(fields: Fields, *, balanced: bool) -> Moe:
    ffn = fields.count("moe_intermediate_size", "width")
    return moe(
        fields,
        "n_routed_experts",
        "moe_intermediate_size",
        shared_ffn=ffn * fields.count("n_shared_experts", "experts", default=0, minimum=0),
        router_buffers=fields.count("n_routed_experts", "experts") if balanced else 0,
    )


def deepseek(*, balanced: bool = True, indexed: bool = False) -> Callable[[Fields], Model]:
    """Return the reader of DeepSeek V2 to V3.2, Kimi K2, GLM-5 and what has their shape.

    `balanced`: routers have a balancing bias where the configuration does not name their method; `indexed`: attention
    is sparse.
    """

    def read(fields: Fields) -> Model:
        known = ("noaux_tc", "greedy", "group_limited_greedy")
        method = fields.choice("topk_method", known, default=known[0] if balanced else known[1])
        sparse = sparse_layers(fields)
        experts = _experts(fields, balanced=method == "noaux_tc")
        dense = mlp(fields) if not all(sparse) else experts
        fields.ignore("intermediate_size")
        own = _indexer(fields) if indexed else None
        layers = [
            sequential(_attention(fields, index), experts if one else dense)
            for one, index in zip(sparse, _indexers(fields, own), strict=True)
        ]
        last = sequential(_attention(fields, own), experts if sparse[-1] else dense)
        return decoder(fields, layers, prediction=prediction(fields, last, "num_nextn_predict_layers"))

    return read


def dense(fields: Fields) -> Model:
    """Return MiniCPM3 and Youtu: latent attention with dense layers."""
    heads = fields.count("num_attention_heads", "heads")
    if not fields.has("v_head_dim"):
        fields.values["v_head_dim"] = hidden_size(fields) // heads
    layer = sequential(_attention(fields), mlp(fields, bias=fields.flag("mlp_bias")))
    fields.ignore("scale_emb", "scale_depth", "dim_model_base", "embedding_initializer_range")
    return decoder(fields, [layer] * num_layers(fields), tied=True)


def kimi_linear(fields: Fields) -> Model:
    """Return Kimi Linear: layers of delta attention with a decay per channel, some with latent attention."""
    count, part = num_layers(fields), fields.part("linear_attn_config")
    fields.ignore("mla_use_nope", "moe_router_activation_func", "num_expert_group", "use_grouped_topk")
    stated = part if part.values else fields
    dim = stated.count(stated.stated("linear_head_dim", "head_dim"), "head_dim")
    heads = stated.count(stated.stated("linear_num_heads", "num_attention_heads"), "heads")
    delta = GatedDelta(
        key_heads=heads,
        key_dim=dim,
        heads=heads,
        value_dim=dim,
        kernel=stated.count(stated.stated("linear_conv_kernel_dim", "short_conv_kernel_size"), "tokens"),
        rank=dim,
    )
    attends = {number - 1 for number in part.numbers("full_attn_layers")}
    pattern = kinds(fields, (FULL, LINEAR), lambda i: FULL if i in attends else LINEAR)
    if part.values and len(attends) + len(set(part.numbers("kda_layers"))) != count:
        fields.refuse("linear_attn_config", f"full_attn_layers and kda_layers with {count} numbers together")
    ffn = fields.count("moe_intermediate_size", "width")
    shared = fields.count(fields.stated("num_shared_experts", "n_shared_experts"), "experts", default=0, minimum=0)
    experts = moe(
        fields,
        fields.stated("num_experts", "num_local_experts"),
        "moe_intermediate_size",
        top_k_key=fields.stated("num_experts_per_token", "num_experts_per_tok"),
        shared_ffn=ffn * shared,
    )
    experts = replace(experts, router_buffers=experts.experts)
    sparse, dense, full = sparse_layers(fields, first_dense=1), mlp(fields), _attention(fields)
    return decoder(
        fields,
        [
            sequential(full if kind == FULL else delta, experts if one else dense)
            for kind, one in zip(pattern, sparse, strict=True)
        ],
    )


def _indexer(fields: Fields) -> Indexer:
    dim = fields.count("index_head_dim", "head_dim")
    return Indexer(
        heads=fields.count("index_n_heads", "heads"),
        head_dim=dim,
        selected=fields.count("index_topk", "tokens"),
        query_rank=fields.count("q_lora_rank", "width"),
        weighted=True,
        norm_params=2 * dim,
    )


def _indexers(fields: Fields, own: Indexer | None) -> list[Indexer | None]:
    """Return each layer's indexer; a "shared" one takes the choice of the layer before it."""
    count = num_layers(fields)
    if own is None:
        return [None] * count
    fields.ignore("index_share_for_mtp_iteration", "indexer_rope_interleave")
    fields.words("layer_types", ("deepseek_sparse_attention", "indexed_attention", "full_attention"), count)
    if fields.has("index_topk_pattern"):
        fields.refuse("index_topk_pattern", "null (state indexer_types)")
    stated = fields.words("indexer_types", ("full", "shared"), count)
    every = fields.count("index_topk_freq", "layers", default=1)
    offset = fields.count("index_skip_topk_offset", "layers", default=2, minimum=0)
    full = [kind == "full" for kind in stated or ()] or [max(i - offset + 1, 0) % every == 0 for i in range(count)]
    return [own if one else replace(own, shared=True) for one in full]


def deepseek_v4(fields: Fields) -> Model:
    """Return DeepSeek V4: window and compressed attention, hyper-connections, experts in every layer."""
    fields.choice("topk_method", ("noaux_tc",), default="noaux_tc")
    fields.ignore(
        "num_key_value_heads", "expert_dtype", "qk_rope_head_dim", "compress_rope_theta", "hc_sinkhorn_iters", "hc_eps"
    )
    count, streams = num_layers(fields), fields.count("hc_mult", "layers", default=1)
    hashed = fields.count("num_hash_layers", "layers", default=0, minimum=0)
    words = fields.words("mlp_layer_types", ("hash_moe", "moe"), count)
    by_hash = [kind == "hash_moe" for kind in words] if words else [index < hashed for index in range(count)]
    balanced, hashing = _experts(fields, balanced=True), _experts(fields, balanced=False)
    layers = [
        Layer(blocks=(_compressed(fields, *rate), hashing if one else balanced), norms=2, streams=streams)
        for rate, one in zip(_rates(fields), by_hash, strict=True)
    ]
    last = Layer(blocks=(_compressed(fields, 0, indexed=False), balanced), norms=2, streams=streams)
    return decoder(
        fields,
        layers,
        outer_params=streams * streams * hidden_size(fields) + streams + 1 if streams > 1 else 0,
        prediction=prediction(fields, last, "num_nextn_predict_layers", streams=True),
    )


def _rates(fields: Fields) -> list[tuple[int, bool]]:
    """Return for each layer the tokens per compressed entry, and whether an indexer selects among the entries."""
    count = num_layers(fields)
    words = fields.words("layer_types", (SLIDING, _SPARSE, _HEAVY), count)
    if words:
        rates = fields.part("compress_rates")
        of_kind = {SLIDING: 0} | {kind: rates.count(kind, "tokens") for kind in (_SPARSE, _HEAVY) if kind in words}
        return [(of_kind[kind], kind == _SPARSE) for kind in words]
    ratios = fields.numbers("compress_ratios")[:count]
    if len(ratios) < count or not set(ratios) <= {0, _SPARSE_RATIO, _HEAVY_RATIO}:
        known = f"0, {_SPARSE_RATIO}, {_HEAVY_RATIO}"
        fields.refuse("compress_ratios", f"a list of at least {count}, one per layer, of {known}")
    return [(ratio, ratio == _SPARSE_RATIO) for ratio in ratios]


def _compressed(fields: Fields, ratio: int, indexed: bool) -> CompressedAttention:
    heads, groups = fields.count("num_attention_heads", "heads"), fields.count("o_groups", "heads")
    dim = fields.count("head_dim", "head_dim")
    if heads * dim % groups:
        fields.refuse("o_groups", f"a divisor of num_attention_heads * head_dim ({heads * dim})")
    index_heads, index_dim = fields.count("index_n_heads", "heads"), fields.count("index_head_dim", "head_dim")
    selected = fields.count("index_topk", "tokens")
    return CompressedAttention(
        heads=heads,
        head_dim=dim,
        q_lora_rank=fields.count("q_lora_rank", "width"),
        o_groups=groups,
        o_lora_rank=fields.count("o_lora_rank", "width"),
        window=fields.count("sliding_window", "tokens"),
        ratio=ratio,
        index_heads=index_heads if indexed else 0,
        index_head_dim=index_dim if indexed else 0,
        selected=selected if indexed else 0,
    )
