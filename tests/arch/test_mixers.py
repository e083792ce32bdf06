"""Layer kinds beyond plain attention: states, latents with an indexer, compressed entries; sizes by hand."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from steelyard import arch
from steelyard.arch.compressed import entry_pairs
from steelyard.errors import InputError

LAW = settings(max_examples=40, deadline=None)
SIZES = {"hidden_size": 64, "vocab_size": 100, "num_hidden_layers": 2, "max_position_embeddings": 4096}


def model(**keys):
    return arch.from_config(SIZES | keys, id="mine")


def flop(operators, *names):
    return sum(float(o.flop) * o.count for o in operators if o.name in names)


DELTA = {
    "model_type": "qwen3_5_text",
    "intermediate_size": 96,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "layer_types": ["linear_attention", "full_attention"],
    "linear_num_key_heads": 2,
    "linear_num_value_heads": 4,
    "linear_key_head_dim": 8,
    "linear_value_head_dim": 8,
    "linear_conv_kernel_dim": 4,
    "mtp_num_hidden_layers": 1,
}
LATENT = {
    "model_type": "deepseek_v32",
    "intermediate_size": 96,
    "num_attention_heads": 4,
    "q_lora_rank": 24,
    "kv_lora_rank": 16,
    "qk_nope_head_dim": 8,
    "qk_rope_head_dim": 4,
    "v_head_dim": 8,
    "n_routed_experts": 4,
    "num_experts_per_tok": 2,
    "moe_intermediate_size": 32,
    "index_n_heads": 2,
    "index_head_dim": 8,
    "index_topk": 32,
}
COMPRESSED = {
    "model_type": "deepseek_v4",
    "num_attention_heads": 4,
    "head_dim": 16,
    "q_lora_rank": 24,
    "o_groups": 2,
    "o_lora_rank": 12,
    "n_routed_experts": 4,
    "num_experts_per_tok": 2,
    "moe_intermediate_size": 32,
    "sliding_window": 8,
    "compress_ratios": [4, 128],
    "index_n_heads": 2,
    "index_head_dim": 8,
    "index_topk": 16,
}


def test_a_state_does_not_grow():
    hybrid = model(**DELTA)
    growth = arch.cache_growth(hybrid)
    assert growth.kv_bytes_per_token == 2 * 2 * 16 * 2  # the one layer that attends: 2 kv heads of 16, bf16
    # 4 heads of 8 x 8 in fp32; the last 3 inputs of a convolution over 2 x 2 x 8 + 4 x 8 channels in bf16
    assert growth.state_bytes == 4 * 64 * 4 + 3 * 64 * 2
    assert arch.cache_bytes(hybrid, 1000.0) == 1000 * 128 + growth.state_bytes
    assert arch.cache_bytes(hybrid, 1000.0, kv_dtype="fp8") == 1000 * 64 + growth.state_bytes


def test_one_token_updates_and_reads_its_state():
    hybrid = model(**DELTA)
    (scan,) = [o for o in arch.forward_operators(hybrid, batch=3, new_tokens=1, context_tokens=50) if o.kind == "scan"]
    assert scan.flop == 3 * 4 * 64 * (6 + 2)  # predict, correct, read: 2 each; decay: 2
    assert scan.cache_bytes == 3 * 2 * (4 * 64 * 4 + 3 * 64 * 2)  # read and written
    later = arch.forward_operators(hybrid, batch=3, new_tokens=1, context_tokens=5000)
    assert flop(later, "delta.scan") == scan.flop


def test_a_scan_costs_the_same_per_token_at_any_length():
    hybrid = model(**DELTA)
    long, longer = (arch.forward_operators(hybrid, batch=1, new_tokens=n) for n in (6400, 64_000))
    assert flop(longer, "delta.scan") == pytest.approx(10 * flop(long, "delta.scan"))
    backward = arch.backward_operators(hybrid, batch=1, seq_tokens=6400)
    assert flop(backward, "delta.scan.gradient") == 3 * flop(long, "delta.scan")


def test_an_indexer_scores_all_and_attention_reads_the_best():
    sparse = model(**LATENT)
    ops = arch.forward_operators(sparse, batch=1, new_tokens=1, context_tokens=999)
    assert flop(ops, "indexer.scores") == 2 * 1000 * 2 * 2 * 8  # layers, keys, heads, multiply-add, width
    assert flop(ops, "attention.latent_selected") == 2 * 4 * 32 * 2 * (16 + 4 + 16)  # 32 keys, on the latent
    assert arch.cache_bytes(sparse, 1000.0) == 2 * 1000 * (16 + 4 + 8) * 2
    (core,) = [o for o in ops if o.name == "attention.latent_selected"]
    assert core.cache_bytes == (32 + 1) * 20 * 2


def test_compressed_entries_and_a_window_are_kept():
    v4 = model(**COMPRESSED)
    # a window of 8 and an entry per 4 (with the indexer's key of 8) or per 128 tokens, of 16 numbers each
    entries = 16 * 8 + (1024 // 4) * (16 + 8) + 16 * 8 + (1024 // 128) * 16
    assert arch.cache_bytes(v4, 1024.0) == 2 * entries
    ops = arch.forward_operators(v4, batch=1, new_tokens=1, context_tokens=1023)
    assert flop(ops, "attention.compressed_4") == 4 * 16 * 4 * (8 + 16)  # window and the 16 selected of 256
    assert flop(ops, "attention.compressed_128") == 4 * 16 * 4 * (8 + 8)
    assert flop(ops, "indexer.scores") == 2 * 2 * 8 * 256


@LAW
@given(
    new=st.integers(0, 300), context=st.integers(0, 300), ratio=st.sampled_from([1, 4, 128]), kept=st.integers(0, 40)
)
def test_entry_pairs_are_the_sum_they_stand_for(new, context, ratio, kept):
    seen = [(context + i) // ratio for i in range(1, new + 1)]
    assert entry_pairs(float(new), float(context), ratio, kept) == sum(min(one, kept) if kept else one for one in seen)


@LAW
@given(keys=st.sampled_from([DELTA, LATENT, COMPRESSED]), new=st.integers(1, 300), context=st.integers(0, 300))
def test_arrays_equal_scalars(keys, new, context):
    one = model(**keys)
    contexts = np.array([context, 2 * context])
    many = arch.forward_operators(one, batch=2, new_tokens=new, context_tokens=contexts, weight_dtype=None)
    few = arch.forward_operators(one, batch=2, new_tokens=new, context_tokens=context, weight_dtype=None)
    for a, b in zip(many, few, strict=True):
        for quantity in ("flop", "weight_bytes", "activation_bytes", "cache_bytes"):
            assert np.broadcast_to(getattr(a, quantity), 2)[0] == pytest.approx(getattr(b, quantity), rel=1e-12)


@LAW
@given(keys=st.sampled_from([LATENT, COMPRESSED]), seq=st.integers(1, 200))
def test_indexers_and_entries_of_a_prefill_are_those_of_its_steps(keys, seq):
    one = model(**keys)
    prefill = arch.forward_operators(one, batch=1, new_tokens=seq)
    steps = arch.forward_operators(one, batch=1, new_tokens=1, context_tokens=np.arange(seq))
    names = ("indexer.scores", "attention.compressed_4", "attention.compressed_128")
    stepwise = sum(float(np.sum(o.flop)) * o.count for o in steps if o.name in names)
    assert stepwise == pytest.approx(flop(prefill, *names), rel=1e-9)


def test_prediction_layers_stand_beside_the_model():
    hybrid = model(**DELTA)
    draft = arch.prediction_model(hybrid)
    # one attending layer with its dense block, the matrix that joins two hidden states, five norms
    attention = 64 * (2 * 4 * 16 + 2 * 2 * 16) + 4 * 16 * 64 + 2 * 16
    assert arch.count_params(hybrid).prediction_params == attention + 3 * 64 * 96 + 2 * 64 * 64 + 5 * 64
    assert [o.name for o in arch.forward_operators(draft, batch=1, new_tokens=1)][1] == "prediction.merge"
    assert arch.prediction_model(model(**LATENT)).num_layers == 0


def test_hyper_connections_read_and_write_several_streams():
    plain, wide = model(**COMPRESSED), model(**COMPRESSED, hc_mult=4)
    extra = arch.count_params(wide).total_params - arch.count_params(plain).total_params
    of_block = 24 * 4 * 64 + 24 + 3  # 4 x (4 + 2) outputs on 4 streams of 64, their biases, three scales
    assert extra == 2 * 2 * of_block + 4 * 4 * 64 + 4 + 1


def test_a_description_names_every_layer():
    told = arch.describe(model(**DELTA, rope_theta=1e6))
    assert [layer.span for layer in told.layers] == ["0", "1"]
    assert [block.kind for layer in told.layers for block in layer.blocks] == ["gated delta", "mlp", "attention", "mlp"]
    assert told.harmless_keys == ("rope_theta",)
    assert dict(told.layers[1].blocks[0].facts)["gate"] == "element"
    p = arch.count_params(model(**DELTA))
    ends = p.embedding_params + p.head_params + 64
    assert sum(layer.params * len(layer.indices) for layer in told.layers) + ends == p.total_params


def test_an_uneven_load_makes_the_busiest_rank_slower():
    one = model(**LATENT)
    even, uneven = (
        arch.forward_operators(one, batch=8, new_tokens=64, ep=2, expert_imbalance_ratio=load) for load in (1.0, 1.5)
    )
    for a, b in zip(even, uneven, strict=True):
        factor = 1.5 if a.kind == "grouped_gemm" or a.name == "moe.dispatch_combine" else 1.0
        assert (b.flop, b.activation_bytes) == pytest.approx((factor * a.flop, factor * a.activation_bytes))
    with pytest.raises(InputError, match="expert_imbalance_ratio"):
        arch.forward_operators(one, batch=1, new_tokens=1, expert_imbalance_ratio=0.5)
