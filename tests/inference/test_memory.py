"""Memory of a serving replica: by hand, and where it runs out."""

import dataclasses

import numpy as np
import pytest

from steelyard.errors import DoesNotFitError, InputError
from steelyard.inference import Deployment, deployment_for, engine_for, lengths_from_stated, memory, steady
from steelyard.records.workload import Objective


def test_pool_by_hand(tiny, h100, fixed):
    engine = dataclasses.replace(
        engine_for(h100), gpu_memory_utilization_ratio=0.5, visible_memory_ratio=1.0, framework_bytes=1e9,
        chunk_tokens=1000.0, max_sequences=100.0,
    )  # fmt: skip
    held = memory(tiny, h100, Deployment(), fixed, engine=engine)
    assert held.budget_bytes == 40e9  # half of the printed 80 GB
    # attention 1024 x (1024 + 2 x 256) + 1024 x 1024, feed-forward 3 x 1024 x 4096, 8 layers; two tables of
    # 32,000 rows; 17 norms of 1024. Two bytes each.
    params = 8 * (1024 * 1536 + 1024 * 1024 + 3 * 1024 * 4096) + 2 * 32_000 * 1024 + 17 * 1024
    assert held.weight_bytes == 2 * params
    # the widest operator reads 1024 and writes 8192 numbers a token (gate and up); residual 1024 more; logits in fp32
    assert held.activation_bytes == 1000 * 2 * (1024 + 8192) + 1000 * 2 * 1024 + 100 * 32_000 * 4
    assert held.kv_pool_bytes == 40e9 - held.weight_bytes - held.activation_bytes - 1e9
    # a running sequence holds its prompt and half its answer, 1100 tokens, and half of a last block of 16 less one:
    # x 8 layers x 2 x 4 heads x 64 x 2 bytes
    assert held.sequence_bytes == pytest.approx((1100 + 7.5) * 8 * 2 * 4 * 64 * 2)
    assert held.max_sequences == pytest.approx(held.kv_pool_bytes / held.sequence_bytes)


def test_heads_too_few_to_share_are_held_whole(tiny, h100, fixed):
    alone, four, eight = (memory(tiny, h100, Deployment(tp=tp), fixed) for tp in (1, 4, 8))
    assert four.sequence_bytes == pytest.approx(alone.sequence_bytes / 4)
    assert eight.sequence_bytes == four.sequence_bytes  # 4 key-value heads on 8 ranks: one head on each


def test_70b_in_fp8_on_one_80_gb_device_is_starved(llama_70b, h100, chat):
    one, two = (memory(llama_70b, h100, deployment_for(llama_70b, tp, weight_dtype="fp8"), chat) for tp in (1, 2))
    # 68 GB of fp8 matrices and 4 GB of bf16 tables in about 76 GB: a handful of sequences at most, hundreds on two.
    assert 0 < one.max_sequences < 10
    assert two.max_sequences > 20 * one.max_sequences
    lone, pair = (
        steady(llama_70b, h100, deployment_for(llama_70b, tp, weight_dtype="fp8"), chat, Objective()) for tp in (1, 2)
    )
    assert lone.kv_limited
    assert pair.request_rate_per_s > 3 * 2 * lone.request_rate_per_s  # scaling above linear, as measured


def test_what_does_not_fit_says_what_is_missing(llama_70b, h100, chat):
    with pytest.raises(DoesNotFitError, match=r"14\d\.\d GB a device, \d+\.\d GB are free.*--tp 2 or fp8") as caught:
        steady(llama_70b, h100, Deployment(), chat, Objective())
    assert "llama-3.1-70b" in str(caught.value)
    assert caught.value.exit_code == 1


def test_longer_requests_leave_fewer_places(tiny, h100):
    places = [
        float(
            np.asarray(
                memory(tiny, h100, Deployment(), lengths_from_stated({"fixed": isl}, {"fixed": 100})).max_sequences
            )
        )
        for isl in (100, 1000, 10_000)
    ]
    assert places[0] > places[1] > places[2]
    # 150, 1050, 10050 tokens a sequence, and half of a last block of 16 less one: places are inverse to them
    assert places[0] / places[2] == pytest.approx((10_050 + 7.5) / (150 + 7.5))


def test_fp8_cache_holds_twice_as_many(tiny, h100, fixed):
    wide, narrow = (memory(tiny, h100, Deployment(kv_dtype=dtype), fixed) for dtype in ("bf16", "fp8"))
    assert narrow.max_sequences == pytest.approx(2 * wide.max_sequences)


@pytest.mark.parametrize(("tp", "ep"), [(0, 1), (4, 3), (2, 4), (1, 0)])
def test_impossible_layouts_are_refused(tp, ep):
    with pytest.raises(InputError, match=r"ep must divide tp x dp|counts from 1 on"):
        Deployment(tp=tp, ep=ep)
