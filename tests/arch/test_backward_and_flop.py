"""Backward operators, FLOP conventions and kept activations."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from steelyard import arch
from steelyard.arch.flop import matmul_params
from steelyard.errors import UnknownError

LAW = settings(max_examples=30, deadline=None)
NAMES = ("llama-3.1-8b", "mixtral-8x7b", "gpt-oss-20b", "deepseek-v3", "gemma-3-12b", "falcon-40b", "gpt-3-175b")
models = st.sampled_from(NAMES).map(arch.load)


def flop(operators, *kinds):
    return sum(o.flop * o.count for o in operators if not kinds or o.kind in kinds)


@LAW
@given(model=models, seq=st.integers(1, 4000), tp=st.sampled_from([1, 2, 4]))
def test_backward_is_two_forward_matrix_passes_and_flash(model, seq, tp):
    forward = arch.forward_operators(model, batch=2, new_tokens=seq, tp=tp)
    backward = arch.backward_operators(model, batch=2, seq_tokens=seq, tp=tp)
    matrices = ("gemm", "grouped_gemm")
    assert flop(backward, *matrices) == pytest.approx(2 * flop(forward, *matrices))
    assert flop(backward, "attention") == pytest.approx(2.5 * flop(forward, "attention"))
    for o in backward:
        if o.kind in matrices:
            assert o.flop == pytest.approx(2 * o.m * o.n * o.k)


@LAW
@given(model=models, seq=st.integers(1, 4000))
def test_lora_leaves_out_weight_gradients(model, seq):
    everything = arch.backward_operators(model, batch=1, seq_tokens=seq)
    frozen = arch.backward_operators(model, batch=1, seq_tokens=seq, trainable="lora")
    assert not [o for o in frozen if "weight_gradient" in o.name]
    assert flop(frozen, "gemm", "grouped_gemm") == pytest.approx(flop(everything, "gemm", "grouped_gemm") / 2)
    assert flop(frozen, "attention") == flop(everything, "attention")


def test_weight_gradient_of_a_matrix_by_hand():
    ops = arch.backward_operators(arch.load("llama-3.1-8b"), batch=1, seq_tokens=1000)
    (dw,) = [o for o in ops if o.name == "mlp.down.weight_gradient"]
    assert (dw.m, dw.n, dw.k) == (4096, 14336, 1000)
    # reads input and output gradient in bf16, writes the gradient in fp32
    assert dw.activation_bytes == 1000 * (4096 + 14336) * 2 + 4096 * 14336 * 4


@pytest.mark.parametrize("name", NAMES)
def test_six_n_rule(name):
    """Without attention, training takes 6 FLOP per matrix parameter that a token uses."""
    model = arch.load(name)
    p = arch.count_params(model)
    used = matmul_params(model)
    assert arch.flop_per_token(model, 4096.0, training=True, attention="none") == 6 * used
    assert arch.flop_per_token(model, 4096.0, training=False, attention="none") == 2 * used
    # active parameters less embedding lookup, norms and biases; a tied head is the embedding
    near = p.active_params - (0 if model.tied_embeddings else p.embedding_params)
    assert used == pytest.approx(near, rel=0.003)


def test_attention_conventions_by_hand():
    model, seq = arch.load("llama-3.1-8b"), 1000.0
    none = arch.flop_per_token(model, seq, training=False, attention="none")
    causal = arch.flop_per_token(model, seq, training=False) - none
    full = arch.flop_per_token(model, seq, training=False, attention="full") - none
    assert full == 4 * 32 * 4096 * 1000  # 2 products x 2 FLOP x layers x width x keys
    assert causal == 4 * 32 * 4096 * 1001 / 2


@LAW
@given(model=models, seq=st.integers(1, 5000))
def test_operators_and_flop_per_token_agree(model, seq):
    forward = arch.forward_operators(model, batch=1, new_tokens=seq)
    assert flop(forward) / seq == pytest.approx(arch.flop_per_token(model, seq, training=False), rel=1e-9)


@LAW
@given(model=models, seq=st.integers(1, 100_000))
def test_causal_lies_between_half_and_full(model, seq):
    none, causal, full = (
        arch.flop_per_token(model, float(seq), training=True, attention=kind) for kind in ("none", "causal", "full")
    )
    assert none < causal <= full * (1 + 1e-12)
    assert causal - none >= (full - none) / 2 * (1 - 1e-12)


def test_flop_per_token_broadcasts():
    model, seqs = arch.load("gemma-3-12b"), np.array([128.0, 4096.0, 1e5])
    many = arch.flop_per_token(model, seqs, training=True)
    assert many == pytest.approx([arch.flop_per_token(model, s, training=True) for s in seqs])


def test_kept_activations_of_a_gpt_layer():
    # Korthikanti et al. 2022, section 4.1: 34 s b h without the score terms, of which 2 are dropout masks;
    # flash attention keeps the softmax's sum, 4 bytes for each of the 96 heads, instead of the scores
    model = arch.load("gpt-3-175b")
    kept = arch.activation_bytes_per_token_layer(model, tp=1, recompute="none", seq_tokens=2048)
    assert kept == 32 * 12288 + 4 * 96
    full = arch.activation_bytes_per_token_layer(model, tp=1, recompute="full", seq_tokens=2048)
    assert full == 2 * 12288


@LAW
@given(model=models, tp=st.sampled_from([1, 2, 8]))
def test_recomputation_keeps_less(model, tp):
    none, selective, full = (
        arch.activation_bytes_per_token_layer(model, tp=tp, recompute=kind, seq_tokens=4096)
        for kind in ("none", "selective", "full")
    )
    assert none > selective > full > 0
    assert none * tp == arch.activation_bytes_per_token_layer(model, tp=1, recompute="none", seq_tokens=4096)


def test_unknown_words_are_refused():
    model = arch.load("llama-3.1-8b")
    with pytest.raises(UnknownError, match="attention convention"):
        arch.flop_per_token(model, 10.0, training=True, attention="half")
    with pytest.raises(UnknownError, match="recomputation"):
        arch.activation_bytes_per_token_layer(model, tp=1, recompute="some", seq_tokens=1)
    with pytest.raises(UnknownError, match="training"):
        arch.backward_operators(model, batch=1, seq_tokens=1, trainable="qlora")


def test_conventions_by_hand():
    gpt, seq = arch.load("gpt-3-175b"), 2048.0  # 96 layers of 12,288, 50,257 tokens
    n = arch.count_params(gpt).total_params
    told = {name: arch.training_flop_per_token(gpt, seq, name) for name in arch.CONVENTIONS}
    assert told["6n"] == 6 * n
    assert told["6n_full"] == 6 * n + 12 * 96 * 12288 * 2048
    assert told["8n"] == 8 * n
    # Narayanan et al. 2021, equation 3, with a second forward pass
    assert told["megatron_2021"] == 96 * 96 * 12288**2 * (1 + 2048 / (6 * 12288) + gpt.vocab / (16 * 96 * 12288))
    # its matrices: 24 B s l h^2 forward, 3 passes, and the logits; attention of all pairs 4 B s^2 l h
    matrices = 72 * 96 * 12288**2 + 6 * gpt.vocab * 12288
    assert told["matrices_full"] == pytest.approx(matrices + 12 * 96 * 12288 * 2048, rel=1e-12)
    assert told["matrices_recomputed"] == pytest.approx(told["matrices_causal"] * 4 / 3)
    # adapters: 4 passes over frozen matrices where full training takes 6 (NVIDIA's LoRA figures are about 1.5x lower)
    assert told["6n"] / told["lora"] == pytest.approx(1.5, rel=0.05)
    with pytest.raises(UnknownError, match="convention"):
        arch.training_flop_per_token(gpt, seq, "7n")


@pytest.mark.parametrize("name", arch.CONVENTIONS)
def test_conventions_broadcast_and_count_active_experts_only(name):
    mixtral, seqs = arch.load("mixtral-8x7b"), np.array([512.0, 4096.0])
    many = arch.training_flop_per_token(mixtral, seqs, name)
    assert many.shape == seqs.shape
    if "megatron" not in name:  # a closed form of dense models, which knows no experts
        assert np.all(many < 6 * arch.count_params(mixtral).total_params)
