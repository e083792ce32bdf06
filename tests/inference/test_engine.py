"""Engines: their rules by version and date, and what those do to memory."""

import numpy as np
import pytest

from steelyard import device
from steelyard.errors import UnknownError
from steelyard.inference import Deployment, engine_for, memory
from steelyard.inference.engine_rules import version_numbers


def test_rules_by_version_and_date(h100):
    assert engine_for(h100).prompts_first == 0.0
    assert engine_for(h100, "vLLM", "0.6.3").prompts_first == 1.0
    assert engine_for(h100, "vLLM", "0.11.1").max_sequences == 1024
    assert engine_for(h100, "vLLM", as_of="2024-10").name == engine_for(h100, "vllm", "0.6").name
    assert engine_for(h100, "vLLM", as_of="2026-01").name == "vllm"


def test_what_must_fit_when_a_request_starts_hangs_on_engine_and_version(h100):
    # vLLM pull request 37307: the whole prompt, where before its first chunk was enough
    assert [engine_for(h100, "vLLM", version).admission for version in ("0.11.1", "0.19.0", "")] == [
        "chunk", "prompt", "prompt",
    ]  # fmt: skip
    assert engine_for(h100, "TensorRT-LLM").admission == "answer"  # GUARANTEED_NO_EVICT
    assert engine_for(h100, "TensorRT-LLM").reserves_answer == 1.0


def test_versions_are_numbers_not_text():
    assert version_numbers("0.9") < version_numbers("0.11.1") < version_numbers("1.0.0rc3")
    assert version_numbers("nightly") == ()


def test_an_unknown_engine_names_the_known(h100):
    with pytest.raises(UnknownError, match="sglang"):
        engine_for(h100, "sglnag")


def test_an_engine_that_never_evicts_reserves_whole_answers(tiny, h100, fixed):
    shared, reserving = (
        memory(tiny, h100, Deployment(), fixed, engine=engine_for(h100, name)) for name in ("vllm", "tensorrt-llm")
    )
    # 1000 in and 200 out: half the answer and half a block of 16 less one, or all of it in blocks of 32
    per_token = 8 * 2 * 4 * 64 * 2
    assert shared.sequence_bytes == pytest.approx((1100 + 7.5) * per_token)
    assert reserving.sequence_bytes == pytest.approx(1216 * per_token)
    # nine tenths of what weights, activations and buffers leave of all visible memory
    free = reserving.budget_bytes - reserving.weight_bytes - reserving.activation_bytes - reserving.framework_bytes
    assert reserving.kv_pool_bytes == pytest.approx(0.9 * free)


def test_data_parallel_attention_holds_other_sequences_on_every_rank(llama_70b, h100, fixed):
    shared, apart = (memory(llama_70b, h100, layout, fixed) for layout in (Deployment(tp=8), Deployment(tp=4, dp=2)))
    # half of the heads' cache on each of twice the ranks, but of half of the sequences: the same in the mean
    assert apart.sequence_bytes == pytest.approx(shared.sequence_bytes)
    assert apart.weight_bytes > 1.9 * shared.weight_bytes


def test_stages_share_layers(llama_70b, h100, fixed):
    whole, staged = (memory(llama_70b, h100, layout, fixed) for layout in (Deployment(tp=4), Deployment(tp=4, pp=2)))
    assert staged.weight_bytes == pytest.approx(whole.weight_bytes / 2)
    assert np.asarray(staged.max_sequences) > 2 * np.asarray(whole.max_sequences)


@pytest.mark.parametrize("name", ["LMDeploy", "lmdeploy 0.18.0", "TurboMind"])
def test_lmdeploy_takes_its_share_of_what_weights_leave(name):
    """TurbomindEngineConfig: 0.8 of the free memory, blocks of 64, prompts of 8,192 tokens, 128 sequences as a rule."""
    large, small = (engine_for(device.load(ref), name) for ref in ("h200", "l4"))
    assert (large.free_memory_ratio, large.kv_block_tokens, large.chunk_tokens) == (0.8, 64.0, 8192.0)
    assert (large.max_sequences, small.max_sequences) == (1024.0, 128.0)
