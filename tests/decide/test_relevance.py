"""The share of inference in a route: by hand, between its ends, and beside dated published figures."""

import dataclasses
import json

import numpy as np
import pytest

from steelyard.compare.case import build_case
from steelyard.compare.routes import EVALUATE
from steelyard.compare.scenario_file import load_scenario
from steelyard.decide.relevance import relevance


@pytest.fixture(scope="module")
def routes():
    case = build_case(load_scenario().model_copy(update={"draws": 50}))
    return {name: EVALUATE[name](case)[0] for name in ("api", "serve", "finetune", "pretrain")}


def test_what_trains_nothing_is_all_inference(routes):
    for name in ("api", "serve"):
        found = relevance(routes[name])
        assert found.spend_ratio.p10 == found.energy_ratio.p10 == found.flop_ratio.p10 == 1.0
        assert found.passes_in_month is None


def test_the_share_by_hand(routes):
    """3 to 1 in money, 1 to 1 in energy, 1 to 9 in FLOP; two even months."""
    outcome = routes["api"]
    training = dataclasses.replace(
        outcome.training, usd=np.array([[50.0]]), energy_j=np.array([[200.0]]), flop=np.array([[900.0]])
    )
    made = dataclasses.replace(
        outcome,
        training=training,
        monthly_usd=np.array([[75.0, 75.0]]),
        serving_energy_j=np.array([[100.0, 100.0]]),
        serving_flop=np.array([[50.0, 50.0]]),
    )
    found = relevance(made)
    assert (found.spend_ratio.p50, found.energy_ratio.p50, found.flop_ratio.p50) == pytest.approx((0.75, 0.5, 0.1))
    assert found.by_month_ratio == pytest.approx((0.6, 0.75))
    assert found.passes_in_month == 1
    assert "75% answers, of its energy 50%, of its FLOP 10%" in found.sentence


def test_training_lowers_the_share_and_time_raises_it(routes):
    tuned, trained = relevance(routes["finetune"]), relevance(routes["pretrain"])
    assert trained.spend_ratio.p50 < tuned.spend_ratio.p50 < 1
    for found in (tuned, trained):
        assert all(0 <= share <= 1 for share in found.by_month_ratio)
        assert found.by_month_ratio[-1] > found.by_month_ratio[0]


def test_refreshes_count_as_training(routes):
    outcome = routes["finetune"]
    without = dataclasses.replace(outcome, training=dataclasses.replace(outcome.training, refresh_usd=np.zeros((1, 1))))
    assert relevance(outcome).spend_ratio.p50 < relevance(without).spend_ratio.p50


def test_published_figures_stand_beside_it_with_their_dates(routes):
    found = relevance(routes["api"])
    shares = {one.statement: one for one in found.published}
    deloitte = next(one for text, one in shares.items() if "2026, Deloitte" in text)
    assert deloitte.share_ratio == pytest.approx(2 / 3, abs=0.001)  # printed as two thirds
    assert deloitte.as_of.year == 2025
    assert {round(one.share_ratio, 3) for one in found.inference} >= {0.346, 0.55, 0.29}  # Futurum, Gartner, OpenAI
    assert all(one.source for one in found.published)


def test_it_is_plain_json(routes):
    assert json.loads(json.dumps(relevance(routes["pretrain"]).to_dict()))["route"] == "pretrain"
