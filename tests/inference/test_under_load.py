"""One deployment under one load: laws, layouts, speculation."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from steelyard.errors import DoesNotFitError, InputError
from steelyard.inference import Deployment, Speculation, engine_for, under_load
from steelyard.records.term import explain

LENGTHS = {"isl_tokens": 1000, "osl_tokens": 200}


def test_accepted_tokens_by_hand():
    # 1 + 0.5 + 0.25: the model's own token, and each proposed one that is reached and accepted
    assert Speculation(tokens=2, acceptance_ratio=0.5).accepted_tokens_per_step == pytest.approx(1.75)
    assert Speculation().accepted_tokens_per_step == 1.0
    with pytest.raises(InputError, match="acceptance_ratio"):
        Speculation(tokens=1, acceptance_ratio=1.0)


def test_a_static_engine_serves_users_batch_by_batch(llama_8b, h100):
    static = engine_for(h100, "transformers")
    one, alike = (
        under_load(llama_8b, h100, Deployment(), users=16, engine=static, length_spread_ratio=spread, **LENGTHS)
        for spread in (0.2, 0.0)
    )
    for found in (one, alike):  # Little's law
        assert found.output_tokens_per_s * found.e2e_s / 200 == pytest.approx(16, rel=0.01)
    assert one.output_tokens_per_s < alike.output_tokens_per_s  # all wait for the longest answer
    with pytest.raises(InputError, match="transformers runs batches that start and end together"):
        under_load(llama_8b, h100, Deployment(), request_rate_per_s=1.0, engine=static, **LENGTHS)


def test_speculation_helps_few_users_more_than_many(llama_8b, h100):
    def gain(users):
        plain, drafted = (
            under_load(llama_8b, h100, Deployment(), users=users, speculation=draft, **LENGTHS).tpot_s
            for draft in (None, Speculation(tokens=3, acceptance_ratio=0.7))
        )
        return float(plain / drafted)

    assert gain(1) > 1.5
    assert gain(1) > gain(256)


@settings(max_examples=15, deadline=None)
@given(users=st.integers(1, 500), more=st.integers(1, 500), isl=st.integers(10, 5000), osl=st.integers(50, 2000))
def test_more_users_wait_longer_and_get_more_done(tiny, h100, users, more, isl, osl):
    few, many = (
        under_load(tiny, h100, Deployment(), isl_tokens=isl, osl_tokens=osl, users=n) for n in (users, users + more)
    )
    assert few.e2e_s <= many.e2e_s * (1 + 1e-6)
    assert few.output_tokens_per_s <= many.output_tokens_per_s * 1.1  # larger batches make longer steps


def test_users_whose_prompts_do_not_fit_the_steps_wait(tiny, h100):
    # 8,192 tokens a step: B answers of 50 tokens end B / 50 a step, whose places prompts of 2,000 fill:
    # B + B / 50 * 2,000 = 8,192 gives 200 sequences in decoding, whoever else waits.
    some, twice, four = (
        under_load(tiny, h100, Deployment(), isl_tokens=2000, osl_tokens=50, users=n) for n in (200, 400, 800)
    )
    assert twice.output_tokens_per_s == pytest.approx(float(four.output_tokens_per_s), rel=0.01)
    assert some.output_tokens_per_s == pytest.approx(float(twice.output_tokens_per_s), rel=0.15)
    assert twice.tpot_s == pytest.approx(float(four.tpot_s), rel=0.01)
    # 400 more users wait for as many answers as come in that time.
    assert four.ttft_s - twice.ttft_s == pytest.approx(400 * 50 / float(four.output_tokens_per_s), rel=0.15)


def test_time_scales_with_the_residual(llama_8b, h100):
    ratio = np.array([[0.5], [1.0], [2.0]])
    found = under_load(llama_8b, h100, Deployment(), users=16, time_ratio=ratio, **LENGTHS)
    assert found.tpot_s.shape == (3, 1)
    assert found.tpot_s[2] / found.tpot_s[1] == pytest.approx(2.0)


@pytest.mark.parametrize("engine", ["vllm", "sglang", "llama.cpp", "transformers"])
@pytest.mark.parametrize("load", [{"users": 1}, {"users": 64}, {"users": 2000}, {"request_rate_per_s": 5.0}, {}])
def test_what_is_explained_adds_up(llama_8b, h100, engine, load):
    if engine == "transformers" and "request_rate_per_s" in load:
        pytest.skip("no mean of static batches under a stream")
    draft = Speculation(tokens=2)
    found = under_load(
        llama_8b, h100, Deployment(), engine=engine_for(h100, engine), speculation=draft, **LENGTHS, **load
    )
    for name in ("ttft_s", "tpot_s"):
        tree = explain(found, name)
        assert len(tree.children) > 1
        assert sum(child.value for child in tree.children) == pytest.approx(tree.value, rel=1e-6)


def test_a_trickle_is_like_one_user(llama_8b, h100):
    alone = under_load(llama_8b, h100, Deployment(), users=1, **LENGTHS)
    trickle = under_load(llama_8b, h100, Deployment(), request_rate_per_s=0.01, **LENGTHS)
    assert trickle.tpot_s == pytest.approx(float(alone.tpot_s), rel=0.05)
    assert trickle.output_tokens_per_s == pytest.approx(0.01 * 200, rel=0.01)
    assert trickle.mfu_ratio == pytest.approx(float(alone.mfu_ratio), rel=0.01)
    for name in ("decode_step", "prompt_step"):
        assert getattr(trickle, name).total_s == pytest.approx(float(getattr(alone, name).total_s), rel=0.01)


def test_a_stream_does_the_work_of_its_requests(llama_8b, h100):
    """FLOP/s while busy are the requests' own: two a token and parameter, of which 7.0e9 (a prompt) to 7.5e9 count."""
    for rate in (5.0, 15.0):
        found = under_load(llama_8b, h100, Deployment(), request_rate_per_s=rate, **LENGTHS)
        assert found.batch > 1  # always busy
        flop_per_s = float(found.mfu_ratio) * 989e12
        assert flop_per_s == pytest.approx(rate * 1200 * 2 * 7.5e9, rel=0.1)
        users = float(found.batch)
        closed = under_load(llama_8b, h100, Deployment(), users=users, **LENGTHS)
        assert found.decode_step.total_s == pytest.approx(float(closed.decode_step.total_s), rel=0.01)


def test_layouts_of_the_same_devices(llama_70b, h100):
    def speed(**ways):
        layout = Deployment(weight_dtype="fp8", compute_dtype="fp8", **ways)
        return under_load(llama_70b, h100, layout, users=1, **LENGTHS)

    tensor, pipeline = speed(tp=8), speed(tp=4, pp=2)
    assert tensor.tpot_s < pipeline.tpot_s  # a token passes all stages of a pipeline, one after the other
    assert tensor.num_devices == pipeline.num_devices == 8


def test_engines_differ(llama_8b, h100):
    found = {
        name: float(under_load(llama_8b, h100, Deployment(), users=16, engine=engine_for(h100, name), **LENGTHS).tpot_s)
        for name in ("vllm", "tensorrt-llm")
    }
    assert found["tensorrt-llm"] < found["vllm"]


def test_bad_loads_and_what_does_not_fit(llama_70b, h100):
    with pytest.raises(InputError, match="either users"):
        under_load(llama_70b, h100, Deployment(tp=4), users=1, request_rate_per_s=1.0, **LENGTHS)
    with pytest.raises(InputError, match="1 token"):
        under_load(llama_70b, h100, Deployment(tp=4), users=1, isl_tokens=0, osl_tokens=10)
    with pytest.raises(DoesNotFitError, match="--tp 2"):
        under_load(llama_70b, h100, Deployment(), users=1, **LENGTHS)
