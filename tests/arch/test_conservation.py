"""Conservation: whatever a layer kind is made of, its shares on devices add up to the whole, and so do its passes.

One generated specification per registered kind; a kind without one fails the first test.
"""

import dataclasses

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from steelyard import arch
from steelyard.arch.compressed import CompressedAttention
from steelyard.arch.parts import BLOCKS, parts, whole
from steelyard.arch.prediction import LayerInput, Merge
from steelyard.arch.recurrent import GatedDelta, LinearAttention, Mamba, Mamba2, ShortConvolution
from steelyard.arch.spec import Attention, Indexer, LatentAttention, Layer, Mlp, Model, Moe

RANKS = [1, 2, 4, 8]
LAW = settings(max_examples=25, deadline=None)
small, flag = st.integers(1, 40), st.booleans()
units = st.sampled_from([8, 16, 32])  # what every number of ranks here divides
indexers = st.builds(
    Indexer, heads=units, head_dim=small, selected=st.integers(1, 300), query_rank=small, weighted=flag
)


def grouped(spec, group):
    return dataclasses.replace(spec, heads=spec.kv_heads * group)


SPECS = {
    Attention: st.builds(
        grouped,
        st.builds(
            Attention,
            heads=units,
            kv_heads=units,
            head_dim=small,
            v_head_dim=st.integers(0, 40),
            window=st.integers(0, 300),
            qkv_bias=flag,
            output_bias=flag,
            sinks=flag,
            gate=st.sampled_from(["", "element", "head"]),
            own_cache=flag,
            index=st.none() | indexers,
        ),
        st.integers(1, 4),
    ),
    LatentAttention: st.builds(
        LatentAttention,
        heads=units,
        q_lora_rank=st.integers(0, 40),
        kv_lora_rank=small,
        nope_head_dim=small,
        rope_head_dim=small,
        v_head_dim=small,
        index=st.none() | indexers,
    ),
    CompressedAttention: st.builds(
        CompressedAttention,
        heads=units,
        head_dim=small,
        q_lora_rank=small,
        o_groups=st.just(8),
        o_lora_rank=small,
        window=small,
        ratio=st.sampled_from([0, 4, 128]),
    ),
    Mlp: st.builds(Mlp, ffn=units, gated=flag, bias=flag, vector_params=small),
    Moe: st.builds(Moe, experts=units, top_k=st.integers(1, 8), ffn=units, gated=flag, bias=flag, shared_ffn=units),
    GatedDelta: st.builds(
        GatedDelta, key_heads=units, key_dim=small, heads=units, value_dim=small, kernel=small, rank=st.integers(0, 20)
    ),
    Mamba2: st.builds(Mamba2, heads=units, head_dim=small, groups=units, state=small, kernel=small, bias=flag),
    Mamba: st.builds(Mamba, heads=units, state=small, rank=small, kernel=small, norms=flag),
    LinearAttention: st.builds(LinearAttention, heads=units, head_dim=small),
    ShortConvolution: st.builds(ShortConvolution, kernel=small, bias=flag),
    Merge: st.builds(Merge),
    LayerInput: st.builds(LayerInput, width=units),
}
kinds = pytest.mark.parametrize("kind", SPECS, ids=lambda kind: kind.__name__)


def test_every_registered_kind_is_here():
    assert set(SPECS) == set(BLOCKS)


def model_of(spec):
    layer = Layer(blocks=(spec,), norms=1)
    return Model(id="m", name="m", hidden=64, vocab=320, layers=((layer, 3),), max_context_tokens=2**20)


def by_name(operators):
    return {operator.name: operator for operator in operators}


def whole_and_copies(of_ranks):
    """Check that what one of n ranks has is a + b / n for all n: b is divided, a is copied; neither is negative."""
    first, second = (float(of_ranks(ranks)) for ranks in (1, 2))
    divided, copied = 2 * (first - second), 2 * second - first
    assert min(divided, copied) >= -1e-6 * first
    for ranks in RANKS:
        assert of_ranks(ranks) == pytest.approx(copied + divided / ranks, rel=1e-9, abs=1e-6)
    return copied


@kinds
@LAW
@given(data=st.data())
def test_tensor_parallel_shares_add_up(kind, data):
    """Weights, caches, FLOP and bytes on one of n ranks: a part that all hold, and the n-th of the rest."""
    model = model_of(data.draw(SPECS[kind]))
    new, context = data.draw(st.integers(1, 300)), data.draw(st.integers(0, 300))
    copied = whole_and_copies(lambda tp: arch.weight_bytes(model, "bf16", tp=tp))
    listed = parts(model)
    one_unit = sum(  # of matrices of which nothing is divided, every rank holds a copy; norms and vectors too
        linear.params * linear.experts * count
        for linear, count in listed.linears
        if all(units == 1 for units, _ in (*linear.out, *linear.into))
    )
    everything = sum(linear.params * linear.experts * count for linear, count in listed.linears)
    held = copied / 2 - listed.vector_params - listed.buffers
    assert one_unit - 1e-6 <= held <= everything + 1e-6
    whole_and_copies(lambda tp: arch.cache_bytes(model, context, tp=tp))
    of_tp = {
        tp: by_name(arch.forward_operators(model, batch=2, new_tokens=new, context_tokens=context, tp=tp))
        for tp in RANKS
    }
    for name, operator in of_tp[1].items():
        assert whole_and_copies(lambda tp, name=name: of_tp[tp][name].flop) >= 0
        if operator.kind in {"attention", "scan"} and "index" not in name:
            assert 8 * of_tp[8][name].flop == pytest.approx(operator.flop)  # heads are divided, nothing else is


@kinds
@LAW
@given(data=st.data(), cp=st.sampled_from(RANKS))
def test_context_parallel_shares_add_up(kind, data, cp):
    model = model_of(data.draw(SPECS[kind]))
    shares = arch.forward_operators(model, batch=1, new_tokens=64, cp=cp)
    for one, all_ in zip(shares, arch.forward_operators(model, batch=1, new_tokens=64), strict=True):
        assert cp * one.flop == pytest.approx(all_.flop)
        assert cp * one.cache_bytes == pytest.approx(all_.cache_bytes)


@LAW
@given(spec=SPECS[Moe], tp=st.sampled_from(RANKS), ep=st.sampled_from(RANKS))
def test_expert_parallel_shares_add_up(spec, tp, ep):
    """Over the devices of a group, experts are held once, and run once for every token that is brought to them."""
    model, devices, groups = model_of(spec), max(tp, ep), max(tp, ep) / tp
    whole_model, share = (
        arch.forward_operators(model, batch=1, new_tokens=64),
        arch.forward_operators(model, batch=1, new_tokens=64, tp=tp, ep=ep),
    )
    for one, all_ in zip(share, whole_model, strict=True):
        if one.kind == "grouped_gemm":
            assert devices * one.flop == pytest.approx(groups * all_.flop)
    experts = [linear for linear, _ in parts(model).linears if linear.experts > 1]
    matrices = 2 * 3 * sum(whole(linear.out) * whole(linear.into) * linear.experts for linear in experts)
    of_ep = arch.weight_bytes(model, "bf16", tp=1, ep=1) - arch.weight_bytes(model, "bf16", tp=1, ep=ep)
    biases = 2 * 3 * sum(whole(linear.out) * linear.experts for linear in experts if linear.bias)
    assert of_ep == pytest.approx((matrices + biases) * (1 - 1 / ep))


@kinds
@LAW
@given(data=st.data())
def test_two_batches_cost_between_once_and_twice(kind, data):
    """FLOP, activations and caches twice, weights at least once: on any roofline, between one time and two."""
    model = model_of(data.draw(SPECS[kind]))
    passes = {"new_tokens": data.draw(st.integers(1, 100)), "context_tokens": data.draw(st.integers(0, 300))}
    once = arch.forward_operators(model, batch=3, **passes)
    for one, two in zip(once, arch.forward_operators(model, batch=6, **passes), strict=True):
        for twice in ("flop", "activation_bytes", "cache_bytes"):
            assert getattr(two, twice) == pytest.approx(2 * getattr(one, twice))
        assert one.weight_bytes * (1 - 1e-9) <= two.weight_bytes <= 2 * one.weight_bytes * (1 + 1e-9)


@kinds
@LAW
@given(data=st.data(), tokens=st.integers(1, 200))
def test_matrices_cost_as_much_at_once_as_token_by_token(kind, data, tokens):
    """What is linear in tokens is the same in one prefill as in as many steps without context."""
    model = model_of(data.draw(SPECS[kind]))
    step = arch.forward_operators(model, batch=1, new_tokens=1)
    for one, all_ in zip(step, arch.forward_operators(model, batch=1, new_tokens=tokens), strict=True):
        if one.kind not in {"attention", "scan"}:
            assert tokens * one.flop == pytest.approx(all_.flop)
            assert tokens * one.activation_bytes == pytest.approx(all_.activation_bytes)
