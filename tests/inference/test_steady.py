"""Capacity of a replica: Little's law, limits, monotonicity, draws."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from steelyard import device
from steelyard.device import power_w
from steelyard.errors import DoesNotFitError
from steelyard.inference import (
    Deployment,
    best_deployment,
    deployment_for,
    latency_at,
    latency_of_users,
    least_devices,
    lengths_from_stated,
    steady,
    step_time,
)
from steelyard.inference.engine import served
from steelyard.inference.points import sequences_within
from steelyard.records.term import explain
from steelyard.records.workload import Objective

ONE = Deployment()
TYPICAL = Objective(ttft_s=1.0, tpot_s=0.05)


@pytest.mark.parametrize("objective", [Objective(), TYPICAL, Objective(tpot_s=0.02)])
def test_littles_law(llama_8b, h100, chat, objective):
    capacity = steady(llama_8b, h100, ONE, chat, objective)
    decode_s = capacity.mean_tpot_s * chat.mean_osl_tokens
    assert capacity.batch == pytest.approx(capacity.request_rate_per_s * decode_s)
    assert capacity.output_tokens_per_s == pytest.approx(capacity.batch / capacity.mean_tpot_s)
    assert capacity.device_s_per_request == pytest.approx(1 / capacity.request_rate_per_s)
    assert capacity.e2e_s == pytest.approx(capacity.ttft_s + chat.mean_osl_tokens * capacity.tpot_s)


def test_decode_alone_is_the_step_time(tiny, h100):
    # One-token prompts: no prefill to speak of, so TPOT is one decode step at the mean context of 1 + 2000/2 tokens.
    asked = lengths_from_stated({"fixed": 1}, {"fixed": 2000})
    quiet = latency_of_users(tiny, h100, ONE, asked, 8.0)
    alone = step_time(tiny, h100, ONE, decode_sequences=8.0, context_tokens=1001.0)
    assert quiet.mean_tpot_s == pytest.approx(float(alone), rel=0.02)


def test_prefill_and_decode_share_the_time(tiny, h100):
    # Between two requests: their prompts' steps and the decode steps of all, nothing else.
    asked = lengths_from_stated({"fixed": 2000}, {"fixed": 100})
    capacity = steady(tiny, h100, ONE, asked, Objective(tpot_s=0.004))
    batch = float(capacity.batch)
    decode = float(step_time(tiny, h100, ONE, decode_sequences=batch, context_tokens=2050.0))
    mixed = float(step_time(tiny, h100, ONE, decode_sequences=batch, context_tokens=2050.0, prefill_tokens=2000.0))
    assert 100 / batch > 1  # more steps than prompts
    expected = mixed + (100 / batch - 1) * decode
    assert 1 / float(capacity.request_rate_per_s) == pytest.approx(expected, rel=0.05)


@pytest.mark.parametrize(
    ("objective", "limit"),
    [
        (Objective(tpot_s=0.012), "TPOT objective"),
        (Objective(ttft_s=0.2), "TTFT objective"),
        (Objective(), "KV memory"),
    ],
)
def test_what_limits_is_named_and_met(llama_8b, h100, chat, objective, limit):
    capacity = steady(llama_8b, h100, ONE, chat, objective)
    assert capacity.limited_by == limit
    assert capacity.kv_limited == (limit == "KV memory")
    assert capacity.ttft_s <= objective.ttft_s * (1 + 1e-9)
    assert capacity.tpot_s <= objective.tpot_s * (1 + 1e-9)


@settings(max_examples=30, deadline=None)
@given(
    ttft=st.floats(0.02, 5.0),
    tpot=st.floats(0.002, 0.5),
    ease=st.floats(1.0, 4.0),
    percentile=st.floats(50.0, 98.0),
)
def test_a_stricter_objective_never_carries_more(tiny, h100, chat, ttft, tpot, ease, percentile):
    def rate(**limits):
        return float(steady(tiny, h100, ONE, chat, Objective(**limits)).request_rate_per_s)

    both = {"ttft_percentile": percentile, "tpot_percentile": percentile}
    strict = rate(ttft_s=ttft, tpot_s=tpot, **both)
    assert strict <= rate(ttft_s=ttft * ease, tpot_s=tpot, **both) * (1 + 1e-9)
    assert strict <= rate(ttft_s=ttft, tpot_s=tpot * ease, **both) * (1 + 1e-9)
    assert rate(ttft_s=ttft, tpot_s=tpot, ttft_percentile=99.0, tpot_percentile=99.0) <= strict * (1 + 1e-9)


@settings(max_examples=25, deadline=None)
@given(factor=st.floats(1.0, 8.0), tpot=st.floats(0.003, 0.2), ttft=st.floats(0.05, 3.0))
def test_a_faster_device_never_carries_less(tiny, h100, faster, chat, factor, tpot, ttft):
    slow, fast = (
        float(steady(tiny, card, ONE, chat, Objective(ttft_s=ttft, tpot_s=tpot)).request_rate_per_s)
        for card in (h100, faster(h100, factor))
    )
    assert fast >= slow * (1 - 1e-3)  # curves are straight between the batches they are computed at


@settings(max_examples=25, deadline=None)
@given(
    ratio=st.floats(0.2, 5.0),
    objective=st.sampled_from([Objective(), TYPICAL, Objective(ttft_s=0.3), Objective(tpot_s=0.02)]),
)
def test_draws_are_single_evaluations(llama_8b, h100, chat, ratio, objective):
    many = steady(llama_8b, h100, ONE, chat, objective, time_ratio=np.array([[1.0], [ratio]]))
    alone = steady(llama_8b, h100, ONE, chat, objective, time_ratio=ratio)
    assert many.request_rate_per_s.shape == (2, 1)
    for name in ("request_rate_per_s", "batch", "ttft_s", "tpot_s", "e2e_s", "it_energy_j_per_request"):
        assert getattr(many, name)[1, 0] == pytest.approx(float(getattr(alone, name)), rel=1e-12)
    order = many.request_rate_per_s[:, 0] if ratio >= 1 else many.request_rate_per_s[::-1, 0]
    assert order[0] >= order[1]  # slower steps never carry more


def test_impossible_objective_has_no_capacity_and_best_says_by_how_much(llama_8b, h100, chat):
    never = Objective(tpot_s=0.001)
    capacity = steady(llama_8b, h100, ONE, chat, never)
    assert capacity.request_rate_per_s == 0
    assert capacity.device_s_per_request == np.inf
    with pytest.raises(DoesNotFitError, match=r"TPOT p95 is .* ms at best, 1 ms is asked"):
        best_deployment(llama_8b, h100, chat, never)


def test_best_deployment_is_the_cheapest_that_meets_it(llama_8b, llama_70b, h100, chat):
    layout, capacity = best_deployment(llama_70b, h100, chat, TYPICAL)
    for tp in (2, 4, 8):
        other = steady(llama_70b, h100, deployment_for(llama_70b, tp), chat, TYPICAL)
        assert capacity.device_s_per_request <= other.device_s_per_request
    assert layout.num_devices in {2, 4, 8}
    assert best_deployment(llama_8b, h100, chat, TYPICAL)[0].tp == 1
    tight, _ = best_deployment(llama_8b, h100, chat, Objective(tpot_s=0.006))  # one device needs more for a step
    assert tight.tp > 1
    with pytest.raises(DoesNotFitError, match="try --tp 2"):
        best_deployment(llama_70b, h100, chat, TYPICAL, max_devices=1)


def test_least_devices_by_memory(llama_8b, llama_70b, h100):
    assert least_devices(llama_8b, h100) == 1
    assert least_devices(llama_70b, h100) == 2  # 141 GB of weights, 76 GB a device
    assert least_devices(llama_70b, h100, weight_dtype="fp8") == 1
    with pytest.raises(DoesNotFitError):
        least_devices(llama_70b, h100, max_devices=1)


def test_latency_rises_to_saturation(llama_8b, h100, chat):
    most = float(steady(llama_8b, h100, ONE, chat, Objective()).request_rate_per_s)
    rates = most * np.array([0.01, 0.5, 0.9, 0.99, 1.2])
    there = latency_at(llama_8b, h100, ONE, chat, rates)
    assert (np.diff(there.ttft_s[:4]) >= 0).all()
    assert (np.diff(there.tpot_s) >= 0).all()
    assert np.isinf(there.ttft_s[4])
    assert there.utilisation_ratio == pytest.approx([0.01, 0.5, 0.9, 0.99, 1.2], rel=0.02)
    assert there.request_rate_per_s[:4] == pytest.approx(rates[:4], rel=0.03)


def test_capacity_agrees_with_latency_at_that_rate(llama_8b, h100, chat):
    capacity = steady(llama_8b, h100, ONE, chat, TYPICAL)
    there = latency_at(llama_8b, h100, ONE, chat, capacity.request_rate_per_s, TYPICAL)
    assert float(there.tpot_s) == pytest.approx(float(capacity.tpot_s), rel=0.05)
    assert float(there.ttft_s) == pytest.approx(float(capacity.ttft_s), rel=0.05)


def test_waiting_users_obey_littles_law(llama_8b, h100, chat):
    users = np.array([1.0, 16.0, 128.0, 1000.0])
    there = latency_of_users(llama_8b, h100, ONE, chat, users)
    stay = there.mean_ttft_s + chat.mean_osl_tokens * there.mean_tpot_s
    assert there.request_rate_per_s * stay == pytest.approx(users, rel=0.05)
    assert (np.diff(there.request_rate_per_s) >= -1e-9).all()


def test_prefix_hits_raise_capacity(llama_8b, h100):
    plain, cached = (
        steady(
            llama_8b, h100, ONE, lengths_from_stated({"fixed": 4000}, {"fixed": 100}, cached_input_ratio=hit), TYPICAL
        )
        for hit in (0.0, 0.5)
    )
    assert cached.request_rate_per_s > 1.3 * plain.request_rate_per_s
    assert cached.prefill_time_ratio < plain.prefill_time_ratio


def test_burst_headroom_by_hand():
    # B + 1.645 sqrt(B) = 100 -> sqrt(B) = (-1.645 + sqrt(1.645^2 + 400)) / 2 = 9.211, B = 84.8
    assert float(sequences_within(100.0, 1.0, 1.0, 95.0, 1.0)) == pytest.approx(84.8, abs=0.1)
    assert float(sequences_within(100.0, 1.0, 1.0, 0.0, 5.0)) == pytest.approx(100.0)
    assert sequences_within(100.0, 1.0, 1.0, 95.0, 3.0) < sequences_within(100.0, 1.0, 1.0, 95.0, 1.0)


def test_energy_by_hand(llama_8b, h100, chat):
    capacity = steady(llama_8b, h100, ONE, chat, TYPICAL)
    assert capacity.batch > 1
    expected = power_w(served(h100), 1.0, mfu_ratio=capacity.mfu_ratio) / capacity.request_rate_per_s
    assert 0.05 < capacity.mfu_ratio < 0.8
    assert capacity.it_energy_j_per_request == pytest.approx(float(expected))


def test_explains_itself(llama_8b, h100, chat):
    tree = explain(steady(llama_8b, h100, ONE, chat, TYPICAL, time_ratio=np.full((7, 1), 1.1)))
    labels = {node.label for node in tree.walk()}
    assert {
        "largest request rate",
        "limit by KV memory",
        "KV pool per device",
        "time of one step",
        "attention",
    } <= labels


def test_a_device_without_links_serves_alone(llama_8b, chat):
    card = device.load("rtx-4090")  # no link joins eight of them; 16 GB of weights in 24 GB
    layout, capacity = best_deployment(llama_8b, card, chat, Objective(), max_devices=8)
    assert layout.tp <= 4
    assert capacity.request_rate_per_s > 0
