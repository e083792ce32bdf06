"""The GPT family and its contemporaries: plain feed-forward blocks, norms with a shift, positions of several kinds."""

from __future__ import annotations

from steelyard.arch.fields import Fields
from steelyard.arch.readers.common import UNBOUNDED_TOKENS, attention, decoder, hidden_size, num_layers, sequential
from steelyard.arch.spec import Attention, Layer, Mlp, Model


def _plain_mlp(fields: Fields, *, bias: bool = True, key: str = "intermediate_size") -> Mlp:
    ffn = fields.count(key, "width", default=4 * hidden_size(fields))
    return Mlp(ffn=ffn, gated=False, bias=bias)


def _decoder(
    fields: Fields,
    layers: list[Layer],
    *,
    tied: bool = False,
    positions: int = 0,
    norm_vectors: int = 2,
    outer_norms: int = 1,
    head_bias: bool = False,
) -> Model:
    return decoder(
        fields,
        layers,
        tied=tied,
        learned_positions=positions,
        norm_vectors=norm_vectors,
        outer_norms=outer_norms,
        head_bias=head_bias,
    )


def _positions(fields: Fields) -> int:
    return fields.count("max_position_embeddings", "tokens")


def gpt2(fields: Fields) -> Model:
    layer = sequential(attention(fields, qkv_bias=True, output_bias=True), _plain_mlp(fields))
    return _decoder(fields, [layer] * num_layers(fields), tied=True, positions=_positions(fields))


def gpt_bigcode(fields: Fields) -> Model:
    heads = fields.count("num_attention_heads", "heads")
    if hidden_size(fields) % heads:
        fields.refuse("num_attention_heads", f"a divisor of hidden_size ({hidden_size(fields)})")
    fields.ignore("num_key_value_heads")
    spec = Attention(
        heads=heads,
        kv_heads=1 if fields.flag("multi_query", default=True) else heads,
        head_dim=hidden_size(fields) // heads,
        qkv_bias=True,
        output_bias=True,
    )
    layer = sequential(spec, _plain_mlp(fields))
    return _decoder(fields, [layer] * num_layers(fields), tied=True, positions=_positions(fields))


def gptj(fields: Fields) -> Model:
    """Return GPT-J, and CodeGen, which has its shape."""
    layer = Layer(blocks=(attention(fields), _plain_mlp(fields)), norms=1, parallel=True)
    return _decoder(fields, [layer] * num_layers(fields), head_bias=True)


def gpt_neo(fields: Fields) -> Model:
    count, size = num_layers(fields), fields.count("window_size", "tokens")
    fields.ignore("attention_types")
    kinds = fields.words("attention_layers", ("global", "local"), count)
    if kinds is None:
        kinds = _gpt_neo_kinds(fields, count)
    layers = [
        sequential(attention(fields, output_bias=True, window=size if kind == "local" else 0), _plain_mlp(fields))
        for kind in kinds
    ]
    return _decoder(fields, layers, tied=True, positions=_positions(fields))


def _gpt_neo_kinds(fields: Fields, count: int) -> list[str]:
    """Return the kinds that `attention_types` ([[pattern, repeats], ...]) spells out."""
    stated = fields.values.get("attention_types") or [[["global", "local"], (count + 1) // 2]]
    kinds: list[str] = []
    try:
        for pattern, repeats in stated:
            kinds += list(pattern) * min(int(repeats), count)
    except (TypeError, ValueError):
        fields.refuse("attention_types", "a list of [pattern, repeats]")
    if len(kinds) < count or set(kinds) - {"global", "local"}:
        fields.refuse("attention_types", f"{count} layers of global, local")
    return kinds[:count]


def opt(fields: Fields) -> Model:
    hidden = hidden_size(fields)
    if fields.count("word_embed_proj_dim", "width", default=hidden) != hidden:
        fields.refuse("word_embed_proj_dim", f"the hidden_size ({hidden})")
    bias, before = fields.flag("enable_bias", default=True), fields.flag("do_layer_norm_before", default=True)
    affine = fields.flag("layer_norm_elementwise_affine", default=True)
    closes = before and not fields.flag("_remove_final_layer_norm")
    layer = sequential(attention(fields, qkv_bias=bias, output_bias=bias), _plain_mlp(fields, bias=bias, key="ffn_dim"))
    return _decoder(
        fields,
        [layer] * num_layers(fields),
        tied=True,
        positions=_positions(fields) + 2,  # its table starts two rows before the first token
        norm_vectors=2 if affine else 0,
        outer_norms=1 if closes else 0,
    )


def bloom(fields: Fields) -> Model:
    fields.ignore("alibi", "apply_residual_connection_post_layernorm", "slow_but_exact")
    layer = sequential(attention(fields, qkv_bias=True, output_bias=True), _plain_mlp(fields))
    fields.values.setdefault("max_position_embeddings", UNBOUNDED_TOKENS)
    return _decoder(fields, [layer] * num_layers(fields), tied=True, outer_norms=2)


def mpt(fields: Fields) -> Model:
    inner = fields.part("attn_config")
    fields.ignore("embedding_fraction", "logit_scale")
    heads, hidden, bias = (
        fields.count("num_attention_heads", "heads"),
        hidden_size(fields),
        not fields.flag("no_bias", default=True),
    )
    if hidden % heads:
        fields.refuse("num_attention_heads", f"a divisor of hidden_size ({hidden})")
    kind = inner.choice(
        "attn_type",
        ("multihead_attention", "multiquery_attention", "grouped_query_attention"),
        default="multihead_attention",
    )
    kv_heads = {"multihead_attention": heads, "multiquery_attention": 1}.get(kind) or inner.count("kv_n_heads", "heads")
    if heads % kv_heads:
        inner.refuse("kv_n_heads", f"a divisor of n_heads ({heads})")
    dim = hidden // heads
    norm_params = (heads + kv_heads) * dim * (2 if bias else 1) if inner.flag("qk_ln") else 0
    alibi = inner.flag("alibi") or inner.flag("rope")
    spec = Attention(
        heads=heads,
        kv_heads=kv_heads,
        head_dim=dim,
        qkv_bias=bias,
        output_bias=bias,
        norm_params=norm_params,
        window=inner.count("sliding_window_size", "tokens", default=0)
        if (inner.values.get("sliding_window_size") or 0) != -1
        else 0,
    )
    ffn = Mlp(ffn=fields.count("expansion_ratio", "width", default=4) * hidden, gated=False, bias=bias)
    learned = fields.flag("learned_pos_emb", default=True) and not alibi
    return _decoder(
        fields,
        [sequential(spec, ffn)] * num_layers(fields),
        tied=True,
        positions=_positions(fields) if learned else 0,
        norm_vectors=2 if bias else 1,
    )


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
    layer = Layer(
        blocks=(
            Attention(heads=heads, kv_heads=kv_heads, head_dim=hidden // heads, qkv_bias=bias, output_bias=bias),
            _plain_mlp(fields, bias=bias, key="ffn_hidden_size"),
        ),
        norms=fields.count("num_ln_in_parallel_attn", "layers", default=2 if new else 1) if parallel else 2,
        parallel=parallel,
    )
    return _decoder(fields, [layer] * num_layers(fields), tied=True)


def chatglm(fields: Fields) -> Model:
    """Return ChatGLM2, 3 and GLM-4 under their own names of the keys: a gated Llama with biases in its projections."""
    heads = fields.count("num_attention_heads", "heads")
    grouped = fields.flag("multi_query_attention")
    kv_heads = fields.count("multi_query_group_num", "heads", default=heads) if grouped else heads
    if heads % kv_heads:
        fields.refuse("multi_query_group_num", f"a divisor of num_attention_heads ({heads})")
    for key, value in (("rmsnorm", True), ("post_layer_norm", True)):
        if fields.flag(key, default=value) is not value:
            fields.refuse(key, str(value).lower())
    bias = fields.flag("add_bias_linear")
    spec = Attention(
        heads=heads,
        kv_heads=kv_heads,
        head_dim=fields.count("kv_channels", "head_dim", default=hidden_size(fields) // heads),
        qkv_bias=bias or fields.flag("add_qkv_bias"),
        output_bias=bias,
    )
    feed_forward = Mlp(ffn=fields.count("ffn_hidden_size", "width"), bias=bias)
    fields.ignore("multi_query_group_num", "original_rope", "fp32_residual_connection", "pre_seq_len")
    fields.ignore("apply_query_key_layer_scaling", "apply_residual_connection_post_layernorm", "quantization_bit")
    fields.ignore("prefix_projection", "interleaved_qkv")
    if fields.has("padded_vocab_size"):
        fields.values["vocab_size"] = fields.values["padded_vocab_size"]
    return _decoder(fields, [sequential(spec, feed_forward)] * num_layers(fields), norm_vectors=1)
