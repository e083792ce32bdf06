"""Structures that mix attention with states: gated delta rule, Mamba, linear attention, short convolutions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from steelyard.arch.fields import Fields
from steelyard.arch.readers.common import (
    FULL,
    LINEAR,
    UNBOUNDED_TOKENS,
    attention,
    decoder,
    hidden_size,
    kinds,
    mlp,
    moe,
    num_layers,
    prediction,
    sequential,
)
from steelyard.arch.readers.mixture import qwen_experts
from steelyard.arch.recurrent import GatedDelta, LinearAttention, Mamba, Mamba2, ShortConvolution
from steelyard.arch.spec import Layer, Mlp, Model, Moe

_STATE_BYTES = {"float32": 4.0, "bfloat16": 2.0, "float16": 2.0}


def qwen_hybrid(*, experts: bool) -> Callable[[Fields], Model]:
    """Return the reader of Qwen3-Next and Qwen3.5: gated delta rule layers, every fourth layer attends."""

    def read(fields: Fields) -> Model:
        bias = fields.flag("attention_bias")
        gate = "element" if fields.flag("attn_output_gate", default=True) else ""
        period = fields.count("full_attention_interval", "layers", default=4)
        full = attention(fields, norms="head", gate=gate, qkv_bias=bias, output_bias=bias)
        delta = _gated_delta(fields)
        pattern = kinds(fields, (FULL, LINEAR), lambda i: LINEAR if (i + 1) % period else FULL)
        dense = mlp(fields) if fields.has("intermediate_size") or not experts else None
        sparse = qwen_experts(fields, shared_gate=True) if experts else [None] * len(pattern)
        layers = [
            sequential(full if kind == FULL else delta, one or dense or mlp(fields))
            for kind, one in zip(pattern, sparse, strict=True)
        ]
        fields.ignore("mtp_use_dedicated_embeddings", "output_gate_type")
        last = sequential(full, layers[-1].blocks[1])
        return decoder(fields, layers, prediction=prediction(fields, last, "mtp_num_hidden_layers"))

    return read


def olmo_hybrid(fields: Fields) -> Model:
    """Return OLMo Hybrid: gated delta rule layers, every fourth layer attends (the last, where there are fewer)."""
    bias, count = fields.flag("attention_bias"), num_layers(fields)
    full = attention(fields, norms="width", qkv_bias=bias, output_bias=bias)
    pattern = kinds(fields, (FULL, LINEAR), lambda i: LINEAR if (i + 1) % min(count, 4) else FULL)
    delta, feed_forward = _gated_delta(fields), mlp(fields)
    fields.ignore("linear_a_log_min", "linear_a_log_max", "linear_dt_min", "linear_dt_max", "linear_dt_init_floor")
    fields.ignore("linear_allow_neg_eigval", "linear_use_gate")
    return decoder(fields, [sequential(full if kind == FULL else delta, feed_forward) for kind in pattern])


def _gated_delta(fields: Fields) -> GatedDelta:
    delta = GatedDelta(
        key_heads=fields.count("linear_num_key_heads", "heads"),
        key_dim=fields.count("linear_key_head_dim", "head_dim"),
        heads=fields.count("linear_num_value_heads", "heads"),
        value_dim=fields.count("linear_value_head_dim", "head_dim"),
        kernel=fields.count("linear_conv_kernel_dim", "tokens"),
        state_bytes=_state_bytes(fields, "mamba_ssm_dtype"),
    )
    if delta.heads % delta.key_heads:
        fields.refuse("linear_num_value_heads", f"a multiple of linear_num_key_heads ({delta.key_heads})")
    return delta


def _state_bytes(fields: Fields, key: str) -> float:
    return _STATE_BYTES[fields.choice(key, _STATE_BYTES, default="float32")]


_LETTERS = {"M": "mamba", "E": "moe", "*": "attention", "-": "mlp"}
_WORDS = {"mamba": "mamba", "linear_attention": "mamba", "full_attention": "attention"}


def nemotron_h(fields: Fields) -> Model:
    """Return Nemotron-H and Nemotron 3: each layer is one block, Mamba-2, attention, experts or a dense pair."""
    pattern = _nemotron_pattern(fields, "hybrid_override_pattern", "layers_block_type")
    blocks = {kind: _nemotron_block(fields, kind) for kind in sorted(set(pattern))}
    layers = [Layer(blocks=(blocks[kind],), norms=1) for kind in pattern]
    fields.values.setdefault("num_hidden_layers", len(layers))
    if num_layers(fields) != len(layers):
        fields.refuse("num_hidden_layers", f"the length of the pattern of layers ({len(layers)})")
    extra: tuple[tuple[Layer, int], ...] = ()
    if fields.count("num_nextn_predict_layers", "layers", default=0, minimum=0):
        kinds_of_module = _nemotron_pattern(fields, "mtp_hybrid_override_pattern", "mtp_layers_block_type")
        of_module = tuple(_nemotron_block(fields, kind) for kind in kinds_of_module)
        extra = prediction(fields, Layer(blocks=of_module, norms=len(of_module)), "num_nextn_predict_layers")
    fields.ignore("expand", "mtp_hybrid_override_pattern", "mtp_layers_block_type", "intermediate_size")
    return decoder(fields, layers, prediction=extra)


def _nemotron_pattern(fields: Fields, letters_key: str, words_key: str) -> list[str]:
    """Return the block of each layer, from a text of letters or a list of words."""
    words_key = fields.stated(words_key, "layer_types" if words_key == "layers_block_type" else words_key)
    if fields.has(letters_key):
        letters = fields.values[letters_key]
        kinds_of = [_LETTERS.get(letter, "") for letter in letters] if isinstance(letters, str) else []
        if not kinds_of or not all(kinds_of):
            fields.refuse(letters_key, "a text of " + ", ".join(_LETTERS))
        return kinds_of
    words = fields.values[words_key] if fields.has(words_key) else []
    kinds_of = [_WORDS.get(str(word), str(word)) for word in words] if isinstance(words, list) else []
    if not kinds_of or not set(kinds_of) <= set(_LETTERS.values()):
        fields.refuse(words_key, "a list of " + ", ".join(_LETTERS.values()))
    return kinds_of


def _nemotron_block(fields: Fields, kind: str) -> Any:
    if kind == "mamba":
        return Mamba2(
            heads=fields.count("mamba_num_heads", "heads"),
            head_dim=fields.count("mamba_head_dim", "head_dim"),
            groups=fields.count("n_groups", "heads"),
            state=fields.count("ssm_state_size", "width"),
            kernel=fields.count("conv_kernel", "tokens"),
            conv_bias=fields.flag("use_conv_bias", default=True),
            bias=fields.flag("mamba_proj_bias") or fields.flag("use_bias"),
            state_bytes=_state_bytes(fields, "mamba_ssm_cache_dtype"),
            chunk=fields.count("chunk_size", "tokens", default=128),
        )
    if kind == "attention":
        bias = fields.flag("attention_bias")
        fields.values.setdefault("head_dim", fields.values.get("attention_head_dim"))
        fields.ignore("attention_head_dim")
        return attention(fields, qkv_bias=bias, output_bias=bias)
    if kind == "mlp":
        return mlp(fields, gated=False, bias=fields.flag("mlp_bias"))
    shared = fields.count("n_shared_experts", "experts", default=1, minimum=0)
    return moe(
        fields,
        "n_routed_experts",
        "moe_intermediate_size",
        gated=False,
        latent=fields.count("moe_latent_size", "width", default=0),
        shared_ffn=shared * fields.count("moe_shared_expert_intermediate_size", "width", default=0, minimum=0),
        router_buffers=fields.count("n_routed_experts", "experts"),
    )


def _mamba2(fields: Fields, *, norm: bool = True, inner_key: str = "") -> Mamba2:
    """Return Mamba-2 as Bamba, Falcon-H1 and Granite name its keys; its head width may follow from the rest."""
    heads = fields.count("mamba_n_heads", "heads")
    inner = fields.count("mamba_expand", "width", default=2) * hidden_size(fields)
    if inner_key and fields.has(inner_key):
        inner = fields.count(inner_key, "width")
    if inner % heads:
        fields.refuse("mamba_n_heads", f"a divisor of the inner width ({inner})")
    if fields.values.get("mamba_d_head") == "auto":
        fields.values["mamba_d_head"] = inner // heads
    return Mamba2(
        heads=heads,
        head_dim=fields.count("mamba_d_head", "head_dim", default=inner // heads),
        groups=fields.count("mamba_n_groups", "heads"),
        state=fields.count("mamba_d_state", "width"),
        kernel=fields.count("mamba_d_conv", "tokens"),
        conv_bias=fields.flag("mamba_conv_bias", default=True),
        bias=fields.flag("mamba_proj_bias"),
        norm=norm,
        chunk=fields.count("mamba_chunk_size", "tokens", default=256),
    )


def bamba(fields: Fields) -> Model:
    bias = fields.flag("attention_bias")
    indices = set(fields.numbers("attn_layer_indices"))
    pattern = kinds(fields, (FULL, LINEAR, "attention", "mamba"), lambda i: FULL if i in indices else LINEAR)
    full, state = attention(fields, qkv_bias=bias, output_bias=bias), _mamba2(fields)
    feed_forward = mlp(fields, bias=fields.flag("mlp_bias"))
    fields.ignore("z_loss_coefficient")
    return decoder(
        fields, [sequential(full if kind in {FULL, "attention"} else state, feed_forward) for kind in pattern]
    )


def falcon_h1(fields: Fields) -> Model:
    """Return Falcon-H1: attention and Mamba-2 side by side in every layer."""
    bias = fields.flag("attention_bias")
    blocks = (
        attention(fields, qkv_bias=bias, output_bias=bias),
        _mamba2(fields, norm=fields.flag("mamba_rms_norm"), inner_key="mamba_d_ssm"),
        mlp(fields, bias=fields.flag("mlp_bias")),
    )
    fields.ignore(
        "mamba_norm_before_gate", "projectors_bias", "mamba_use_mlp", "layers_block_type", "attn_layer_indices"
    )
    return decoder(fields, [Layer(blocks=blocks, norms=2)] * num_layers(fields))


def granite_hybrid(fields: Fields) -> Model:
    bias = fields.flag("attention_bias")
    shared = fields.count("shared_intermediate_size", "width")
    experts = fields.count("num_local_experts", "experts", default=0, minimum=0)
    feed_forward: Mlp | Moe = Mlp(ffn=shared)
    if experts:
        feed_forward = moe(fields, "num_local_experts", "intermediate_size", shared_ffn=shared)
    fields.ignore("intermediate_size", "num_experts_per_tok", "position_embedding_type", "normalization_function")
    pattern = kinds(fields, (FULL, LINEAR, "attention", "mamba"), lambda _: LINEAR)
    full = attention(fields, qkv_bias=bias, output_bias=bias)
    state = _mamba2(fields) if {LINEAR, "mamba"} & set(pattern) else None
    return decoder(
        fields, [sequential(full if kind in {FULL, "attention"} else state, feed_forward) for kind in pattern]
    )


def jamba(fields: Fields) -> Model:
    hidden = hidden_size(fields)
    state = Mamba(
        heads=fields.count("mamba_expand", "width", default=2) * hidden,
        state=fields.count("mamba_d_state", "width"),
        rank=fields.count("mamba_dt_rank", "width", default=-(-hidden // 16)),
        kernel=fields.count("mamba_d_conv", "tokens"),
        conv_bias=fields.flag("mamba_conv_bias", default=True),
        bias=fields.flag("mamba_proj_bias"),
        norms=True,
    )
    full, dense = attention(fields), mlp(fields)
    experts = moe(fields, "num_experts", "intermediate_size") if fields.values.get("num_experts") != 1 else dense
    fields.ignore("num_experts", "num_experts_per_tok")
    if not fields.flag("mamba_inner_layernorms", default=True):
        fields.refuse("mamba_inner_layernorms", "true")
    attends = _every(fields, "attn_layer_period", "attn_layer_offset")
    routes = _every(fields, "expert_layer_period", "expert_layer_offset")
    layers = [
        sequential(full if one else state, experts if sparse else dense)
        for one, sparse in zip(attends, routes, strict=True)
    ]
    return decoder(fields, layers)


def _every(fields: Fields, period_key: str, offset_key: str) -> list[bool]:
    period, offset = fields.count(period_key, "layers"), fields.count(offset_key, "layers", minimum=0)
    return [index % period == offset for index in range(num_layers(fields))]


def mamba1(fields: Fields) -> Model:
    hidden = hidden_size(fields)
    inner = fields.count("expand", "width", default=2) * hidden
    fields.ignore("d_inner", "d_model", "n_layer")
    if fields.values.get("time_step_rank") == "auto":
        fields.values["time_step_rank"] = -(-hidden // 16)
    layer = Layer(
        blocks=(
            Mamba(
                heads=fields.count(fields.stated("intermediate_size", "d_inner"), "width", default=inner),
                state=fields.count("state_size", "width"),
                rank=fields.count("time_step_rank", "width", default=-(-hidden // 16)),
                kernel=fields.count("conv_kernel", "tokens"),
                conv_bias=fields.flag("use_conv_bias", default=True),
                bias=fields.flag("use_bias"),
            ),
        ),
        norms=1,
    )
    fields.values.setdefault("max_position_embeddings", UNBOUNDED_TOKENS)
    return decoder(fields, [layer] * num_layers(fields), tied=True)


def mamba2_only(fields: Fields) -> Model:
    hidden = hidden_size(fields)
    heads = fields.count("num_attention_heads", "heads")
    inner = fields.count("expand", "width", default=2) * hidden
    if inner % heads:
        fields.refuse("num_heads", f"a divisor of expand * hidden_size ({inner})")
    layer = Layer(
        blocks=(
            Mamba2(
                heads=heads,
                head_dim=fields.count("head_dim", "head_dim", default=inner // heads),
                groups=fields.count("n_groups", "heads"),
                state=fields.count("state_size", "width"),
                kernel=fields.count("conv_kernel", "tokens"),
                conv_bias=fields.flag("use_conv_bias", default=True),
                bias=fields.flag("use_bias"),
                chunk=fields.count("chunk_size", "tokens", default=256),
            ),
        ),
        norms=1,
    )
    fields.ignore("norm_before_gate", "rms_norm", "time_step_rank")
    fields.values.setdefault("max_position_embeddings", UNBOUNDED_TOKENS)
    return decoder(fields, [layer] * num_layers(fields))


def lfm2(*, experts: bool) -> Callable[[Fields], Model]:
    """Return the reader of LFM2: short convolutions, some layers attend."""

    def read(fields: Fields) -> Model:
        count, indices = num_layers(fields), set(fields.numbers("full_attn_idxs"))
        pattern = kinds(fields, (FULL, "conv"), lambda i: FULL if i in indices else "conv")
        full = attention(fields, norms="head")
        short = ShortConvolution(kernel=fields.count("conv_L_cache", "tokens"), bias=fields.flag("conv_bias"))
        fields.ignore("conv_dim", "conv_dim_out", "conv_use_xavier_init", "block_dim", "block_ff_dim", "block_norm_eps")
        fields.ignore("block_mlp_init_scale", "block_out_init_scale", "block_use_swiglu", "block_use_xavier_init")
        fields.ignore("use_pos_enc", "num_heads")
        dense = Mlp(ffn=_lfm2_ffn(fields, adjusts=not experts))
        sparse: Mlp | Moe = dense
        first = count
        if experts:
            first = fields.count("num_dense_layers", "layers", default=0, minimum=0)
            routers = fields.count("num_experts", "experts") if fields.flag("use_expert_bias", default=True) else 0
            sparse = moe(fields, "num_experts", "moe_intermediate_size", router_buffers=routers)
        layers = [
            sequential(full if kind == FULL else short, sparse if index >= first else dense)
            for index, kind in enumerate(pattern)
        ]
        return decoder(fields, layers, tied=fields.flag("tie_embedding", default=True))

    return read


def _lfm2_ffn(fields: Fields, *, adjusts: bool) -> int:
    ffn = fields.count(fields.stated("intermediate_size", "block_ff_dim"), "width")
    multiple = fields.count("block_multiple_of", "width", default=256)
    factor = fields.values.get("block_ffn_dim_multiplier")
    fields.ignore("block_ffn_dim_multiplier")
    if not fields.flag("block_auto_adjust_ff_dim", default=adjusts):
        return ffn
    ffn = 2 * ffn // 3
    if isinstance(factor, (int, float)) and 0 < factor <= 16:
        ffn = int(factor * ffn)
    return multiple * -(-ffn // multiple)


def minimax(fields: Fields) -> Model:
    """Return MiniMax-Text-01: linear attention with every eighth layer attending, experts in all."""
    full = attention(fields, window=fields.count("sliding_window", "tokens", default=0))
    linear = LinearAttention(
        heads=full.heads, head_dim=full.head_dim, chunk=fields.count("block_size", "tokens", default=256)
    )
    marks = fields.numbers("attn_type_list")
    pattern = kinds(
        fields, (FULL, LINEAR), lambda i: (FULL if marks[i] else LINEAR) if i < len(marks) else (LINEAR, FULL)[i % 2]
    )
    experts = moe(fields, "num_local_experts", "intermediate_size")
    fields.ignore(
        "postnorm", "layernorm_full_attention_alpha", "layernorm_full_attention_beta", "full_attn_alpha_factor"
    )
    fields.ignore("layernorm_linear_attention_alpha", "layernorm_linear_attention_beta", "full_attn_beta_factor")
    fields.ignore("layernorm_mlp_alpha", "layernorm_mlp_beta", "shared_moe_mode", "linear_attn_alpha_factor")
    fields.ignore("linear_attn_beta_factor", "mlp_alpha_factor", "mlp_beta_factor")
    return decoder(fields, [sequential(full if kind == FULL else linear, experts) for kind in pattern])
