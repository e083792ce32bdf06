"""Operators of a forward pass: shapes by hand, laws by property."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from steelyard import arch
from steelyard.arch.attention import causal_pairs
from steelyard.arch.parts import parts
from steelyard.errors import UnknownError

LAW = settings(max_examples=40, deadline=None)
MODELS = ("llama-3.1-8b", "mixtral-8x7b", "gpt-oss-20b", "deepseek-v3", "gemma-3-12b", "falcon-40b", "gpt-j-6b")
models = st.sampled_from([*MODELS, "llama-4-scout"]).map(arch.load)
tokens = st.integers(1, 5000)


def named(operators, name):
    (found,) = [operator for operator in operators if operator.name == name]
    return found


def total(operators, field, **match):
    chosen = [o for o in operators if all(getattr(o, key) == value for key, value in match.items())]
    return sum(getattr(o, field) * o.count for o in chosen)


def test_shapes_of_llama_by_hand():
    ops = arch.forward_operators(arch.load("llama-3.1-8b"), batch=2, new_tokens=100, tp=4)
    qkv = named(ops, "attention.query_key_value")
    assert (qkv.m, qkv.n, qkv.k) == (200, (32 + 2 * 8) / 4 * 128, 4096)
    assert qkv.flop == 2 * 200 * 1536 * 4096
    assert qkv.weight_bytes == 1536 * 4096 * 2
    assert qkv.activation_bytes == 200 * (4096 + 1536) * 2
    down = named(ops, "mlp.down")
    assert (down.n, down.k, down.count) == (4096, 14336 / 4, 32)
    assert named(ops, "head").n == 128256 / 4
    scores = named(ops, "attention.full")
    assert scores.flop == 2 * (32 / 4) * (100 * 101 / 2) * (2 * 128 + 2 * 128)
    assert scores.cache_bytes == 2 * 100 * (8 / 4) * 2 * 128 * 2  # written only


def test_decode_reads_the_cache_once_per_sequence():
    ops = arch.forward_operators(arch.load("llama-3.1-70b"), batch=16, new_tokens=1, context_tokens=999, tp=8)
    # 999 read and 1 written, 1 kv head of 128 on each rank, keys and values in bf16
    assert named(ops, "attention.full").cache_bytes == 16 * 1000 * 2 * 128 * 2


def test_last_logits_only():
    model = arch.load("llama-3.1-8b")
    assert named(arch.forward_operators(model, batch=3, new_tokens=50, logits="last"), "head").m == 3
    assert named(arch.forward_operators(model, batch=3, new_tokens=50), "head").m == 150


def test_key_value_heads_are_replicated_beyond_their_number():
    # Llama 3.1 8B has 8: with 16 ranks each holds 2 query heads and one whole kv head
    ops = arch.forward_operators(arch.load("llama-3.1-8b"), batch=1, new_tokens=1, tp=16)
    assert named(ops, "attention.query_key_value").n == (2 + 2) * 128


def test_latent_attention_takes_its_cheaper_form():
    model = arch.load("deepseek-v3")
    decode = arch.forward_operators(model, batch=1, new_tokens=1, context_tokens=4095)
    # 128 heads x 4096 tokens x (576 for scores + 512 for values) x 2
    assert named(decode, "attention.latent").flop == 2 * 128 * 4096 * (576 + 512)
    assert named(decode, "attention.key_value_up").m == 1
    prefill = arch.forward_operators(model, batch=1, new_tokens=4096)
    assert named(prefill, "attention.latent").flop == 2 * 128 * (4096 * 4097 / 2) * (192 + 128)
    chunk = arch.forward_operators(model, batch=1, new_tokens=2048, context_tokens=2048)
    assert named(chunk, "attention.key_value_up").m == 2048 + 2048  # cached latents are expanded again


def test_experts_share_their_rows():
    model = arch.load("mixtral-8x7b")
    alone = named(arch.forward_operators(model, batch=1, new_tokens=64), "moe.experts_up")
    assert (alone.m, alone.n, alone.k) == (128, 2 * 14336, 4096)
    assert alone.groups == pytest.approx(8 * (1 - 0.75**64))
    cut = named(arch.forward_operators(model, batch=1, new_tokens=64, tp=4), "moe.experts_up")
    assert (cut.m, cut.n) == (128, 2 * 14336 / 4)
    spread = named(arch.forward_operators(model, batch=1, new_tokens=64, tp=4, ep=4), "moe.experts_up")
    assert (spread.m, spread.n) == (32, 2 * 14336)
    assert spread.groups == pytest.approx(2 * (1 - 0.75**64))
    one = named(arch.forward_operators(model, batch=1, new_tokens=1), "moe.experts_up")
    assert one.weight_bytes == pytest.approx(2 * 2 * 14336 * 4096 * 2)  # top 2 of 8


def test_routed_tokens_of_other_ranks_hit_more_experts():
    model = arch.load("qwen3-235b-a22b")
    own = named(arch.forward_operators(model, batch=1, new_tokens=1, ep=8), "moe.experts_down")
    assert own.m == 8  # 8 ranks bring a token each: 8 x top 8 / 8 ranks
    many = named(arch.forward_operators(model, batch=1, new_tokens=1, ep=8, routed_tokens=80), "moe.experts_down")
    assert many.m == 80
    assert many.groups > own.groups


def test_formats():
    ops = arch.forward_operators(
        arch.load("gpt-oss-20b"), batch=1, new_tokens=1000, weight_dtype="mxfp4", compute_dtype="fp8"
    )
    experts, qkv = named(ops, "moe.experts_up"), named(ops, "attention.query_key_value")
    assert experts.weight_bytes == pytest.approx(32 * 5760 * 2881 * 4.25 / 8)  # all hit; with bias
    assert qkv.weight_bytes == 5120 * 2881 * 2  # attention stays in bf16
    assert (experts.compute_dtype, qkv.compute_dtype) == ("fp8", "bf16")
    assert named(ops, "head").compute_dtype == "bf16"


def test_unknown_words_are_refused():
    model = arch.load("llama-3.1-8b")
    with pytest.raises(UnknownError, match="bf61"):
        arch.forward_operators(model, batch=1, new_tokens=1, weight_dtype="bf61")
    with pytest.raises(UnknownError, match="logits"):
        arch.forward_operators(model, batch=1, new_tokens=1, logits="some")


@LAW
@given(new=st.integers(0, 300), context=st.integers(0, 300), window=st.integers(0, 100))
def test_pairs_are_the_sum_they_stand_for(new, context, window):
    seen = [min(window or 10**9, context + i) for i in range(1, new + 1)]
    assert causal_pairs(float(new), float(context), window) == sum(seen)
    if window:
        in_chunk = [(context + i - 1) % window + 1 for i in range(1, new + 1)]
        assert causal_pairs(float(new), float(context), window, chunked=True) == sum(in_chunk)


@LAW
@given(model=models, seq=st.integers(1, 300))
def test_prefill_attends_as_much_as_its_decode_steps(model, seq):
    if any(core.name == "attention.latent" for core, _ in parts(model).cores):
        return  # decode works on the latent, with other FLOP per pair
    prefill = arch.forward_operators(model, batch=1, new_tokens=seq)
    steps = arch.forward_operators(model, batch=1, new_tokens=1, context_tokens=np.arange(seq))
    flop = total(steps, "flop", kind="attention")
    assert np.sum(flop) == pytest.approx(total(prefill, "flop", kind="attention"), rel=1e-9)


@LAW
@given(model=models, new=tokens, context=tokens, more=tokens)
def test_more_context_never_costs_less(model, new, context, more):
    less = arch.forward_operators(model, batch=2, new_tokens=new, context_tokens=context)
    longer = arch.forward_operators(model, batch=2, new_tokens=new, context_tokens=context + more)
    names = {core.name for core, _ in parts(model).cores}
    if "attention.latent" in names:  # its two forms move FLOP between operators; their sum may not fall
        assert total(longer, "flop") >= total(less, "flop") * (1 - 1e-12)
        assert total(longer, "cache_bytes") >= total(less, "cache_bytes")
        return
    for a, b in zip(less, longer, strict=True):
        if "chunk" not in a.name:  # a new chunk starts with an empty view
            assert b.flop >= a.flop * (1 - 1e-12)
            assert b.cache_bytes >= a.cache_bytes


@LAW
@given(model=models, tp=st.sampled_from([1, 2, 4, 8]), ep=st.sampled_from([1, 2, 4, 8]), new=st.integers(1, 500))
def test_sharded_flop_adds_up(model, tp, ep, new):
    """One rank's FLOP x ranks is the whole, where heads divide; replicated parts are named."""
    whole = {o.name: o for o in arch.forward_operators(model, batch=1, new_tokens=new)}
    replicated = {"moe.router", "attention.down"}
    for o in arch.forward_operators(model, batch=1, new_tokens=new, tp=tp, ep=min(ep, tp)):
        ranks = 1 if o.name in replicated else tp
        divides = o.name not in {"attention.query_key_value", "attention.output"} or (
            model.num_heads % tp == 0 and model.num_kv_heads % tp == 0
        )
        if divides and not (o.kind == "attention" and model.num_heads % tp):
            assert o.flop * ranks == pytest.approx(whole[o.name].flop, rel=1e-4)


@LAW
@given(model=models, tp=st.sampled_from([1, 2, 4, 8]), ep=st.sampled_from([1, 2, 4, 8]))
def test_sharded_weights_add_up(model, tp, ep):
    ep = min(ep, tp)
    one = arch.weight_bytes(model, "bf16", tp=tp, ep=ep)
    listed = parts(model)
    copied = listed.vector_params + model.learned_positions * model.hidden
    copied += sum(
        linear.params * count for linear, count in listed.linears if linear.name in {"moe.router", "attention.down"}
    )
    biases = sum(
        model.hidden * linear.experts * count
        for linear, count in listed.linears
        if linear.bias and linear.name.endswith((".output", ".down", "_down"))
    )
    if model.num_heads % tp == 0 and model.num_kv_heads % tp == 0:
        spread = tp * one - 2 * (tp - 1) * copied  # what every rank holds counts once
        assert spread == pytest.approx(arch.weight_bytes(model, "bf16"), rel=1e-6, abs=2 * tp * biases)


@LAW
@given(model=models, cp=st.sampled_from([1, 2, 4, 8]))
def test_context_ranks_share_everything(model, cp):
    whole = arch.forward_operators(model, batch=1, new_tokens=4096)
    shard = arch.forward_operators(model, batch=1, new_tokens=4096, cp=cp)
    for a, b in zip(whole, shard, strict=True):
        assert b.flop * cp == pytest.approx(a.flop)
        assert b.activation_bytes * cp == pytest.approx(a.activation_bytes)


@LAW
@given(
    model=models,
    batch=st.lists(st.integers(1, 100), min_size=2, max_size=4),
    new=st.integers(1, 3000),
    context=st.integers(0, 10_000),
    tp=st.sampled_from([1, 2, 4]),
)
def test_arrays_equal_scalars(model, batch, new, context, tp):
    contexts = np.array([context, context // 2, 0])[:, None]
    ops = arch.forward_operators(model, batch=np.array(batch), new_tokens=new, context_tokens=contexts, tp=tp)
    for j, one in enumerate(batch):
        single = arch.forward_operators(model, batch=one, new_tokens=new, context_tokens=context, tp=tp)
        for many, few in zip(ops, single, strict=True):
            for field in ("flop", "weight_bytes", "activation_bytes", "cache_bytes", "m", "n", "k", "groups"):
                array = np.broadcast_to(getattr(many, field), (3, len(batch)))
                assert array[0, j] == pytest.approx(getattr(few, field), rel=1e-12)


@pytest.mark.parametrize("name", MODELS)
def test_operators_read_all_weights(name):
    """A long prefill reads every matrix once: its operators' bytes are the model's, without embedding and vectors."""
    model = arch.load(name)
    ops = arch.forward_operators(model, batch=8, new_tokens=4096)
    read = total(ops, "weight_bytes") - total(ops, "weight_bytes", kind="embedding")
    p = arch.count_params(model)
    layers = p.attention_params + p.mlp_params + p.experts_params + p.router_params
    head = model.vocab * model.hidden + (model.vocab if model.head_bias else 0)
    assert read == pytest.approx(2 * (layers + head), rel=1e-9)
