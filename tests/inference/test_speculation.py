"""Speculative decoding: what a step takes with its draft, and that every form of serving agrees about it."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from steelyard.inference import Deployment, Speculation, steady, under_load
from steelyard.inference.simulator import Fleet, closed_load, open_load, replica_for, simulate
from steelyard.records.workload import Lengths, Objective

DRAFT = Speculation(tokens=3, acceptance_ratio=0.8)


@pytest.fixture(scope="module")
def varied():
    rng = np.random.default_rng(5)
    return Lengths(isl_tokens=rng.uniform(500, 1500, 256).round(), osl_tokens=rng.uniform(100, 300, 256).round())


def test_a_step_by_hand():
    # A pass of 10 ms and prompts of 20 ms; the draft passes three times over what decodes and once over the prompts.
    plain, whole = np.array([0.010]), np.array([0.030])
    draft = Speculation(tokens=3, acceptance_ratio=0.0, draft_time_ratio=0.1)
    assert draft.step_s(whole, plain) == pytest.approx(0.030 + 3 * 0.001 + 0.002)
    assert draft.token_s(plain) == pytest.approx(0.013)  # nothing is accepted: a step gives one token
    assert draft.token_step_s(whole, plain, 0.5) == pytest.approx(0.013 + 0.5 * 0.022)


@given(plain=st.floats(1e-4, 1.0), more=st.floats(0.0, 1.0), accepted=st.floats(0.0, 0.99), count=st.integers(0, 8))
def test_laws_of_a_draft(plain, more, accepted, count):
    whole_s, plain_s = np.array([plain + more]), np.array([plain])
    draft, none = Speculation(tokens=count, acceptance_ratio=accepted), Speculation()
    assert 1.0 <= draft.accepted_tokens_per_step <= 1 + count
    assert draft.step_s(whole_s, plain_s) >= none.step_s(whole_s, plain_s) == whole_s
    assert draft.token_s(plain_s) * draft.accepted_tokens_per_step == pytest.approx(draft.step_s(plain_s, plain_s))
    assert draft.token_step_s(plain_s, plain_s) == pytest.approx(draft.token_s(plain_s))


@pytest.mark.parametrize("users", [4, 48])
def test_the_simulator_and_the_closed_form_agree(llama_8b, h100, varied, users):
    replica = replica_for(llama_8b, h100, Deployment(), varied, speculation=DRAFT)
    run = simulate(Fleet(replica=replica), closed_load(varied, users, 4000), warm_up_requests=400)
    found = under_load(
        llama_8b, h100, Deployment(), isl_tokens=varied.mean_isl_tokens, osl_tokens=varied.mean_osl_tokens,
        users=users, speculation=DRAFT,
    )  # fmt: skip
    assert run.output_tokens_per_s == pytest.approx(float(found.output_tokens_per_s), rel=0.1)
    assert run.tpot.mean_s == pytest.approx(float(found.tpot_s), rel=0.1)


@pytest.mark.parametrize("tokens", [0, 3, 8])
@pytest.mark.parametrize(("isl", "osl"), [(1000, 200), (2000, 50)])
def test_many_proposals_and_short_answers_agree_too(llama_8b, h100, isl, osl, tokens):
    draft = Speculation(tokens=tokens, acceptance_ratio=0.8)
    rng = np.random.default_rng(7)
    asked = Lengths(
        isl_tokens=(isl * rng.uniform(0.7, 1.3, 256)).round(), osl_tokens=(osl * rng.uniform(0.7, 1.3, 256)).round()
    )
    replica = replica_for(llama_8b, h100, Deployment(), asked, speculation=draft)
    run = simulate(Fleet(replica=replica), closed_load(asked, 64, 4000), warm_up_requests=400)
    found = under_load(
        llama_8b, h100, Deployment(), isl_tokens=asked.mean_isl_tokens, osl_tokens=asked.mean_osl_tokens, users=64,
        speculation=draft,
    )  # fmt: skip
    assert run.output_tokens_per_s == pytest.approx(float(found.output_tokens_per_s), rel=0.1)


def test_capacity_does_not_fall_as_more_of_the_prompts_is_cached(llama_8b, h100, varied):
    rates = [
        float(
            steady(
                llama_8b, h100, Deployment(), replace(varied, cached_input_ratio=share), Objective()
            ).request_rate_per_s
        )
        for share in (0.0, 0.5, 0.9, 0.999, 1.0)
    ]
    assert np.diff(rates).min() > -0.01 * rates[-1]


@pytest.mark.parametrize("draft", [None, DRAFT])
def test_the_simulator_keeps_the_objective_below_the_capacity_and_not_beyond(llama_8b, h100, varied, draft):
    found = steady(llama_8b, h100, Deployment(), varied, Objective(tpot_s=0.012), speculation=draft)
    fleet = Fleet(replica=replica_for(llama_8b, h100, Deployment(), varied, speculation=draft))

    def tpot_p95_s(share):
        load = open_load(varied, share * float(found.request_rate_per_s), 6000)
        return simulate(fleet, load, warm_up_requests=600).tpot.percentile_s(95)

    assert 0.7 * 0.012 < tpot_p95_s(0.8) < 0.012 < tpot_p95_s(1.2)


def test_a_draft_raises_capacity_and_the_use_of_the_device(llama_8b, h100, varied):
    plain, drafted = (
        steady(llama_8b, h100, Deployment(), varied, Objective(tpot_s=0.012), speculation=draft)
        for draft in (None, DRAFT)
    )
    assert drafted.request_rate_per_s > 1.2 * plain.request_rate_per_s
    assert drafted.mfu_ratio > plain.mfu_ratio
