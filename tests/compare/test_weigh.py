"""The whole comparison on the built-in example and its variations."""

import json
import math

import numpy as np
import pytest

from steelyard.compare.case import build_case
from steelyard.compare.result import ACTIVITIES, ROUTES
from steelyard.compare.routes import EVALUATE
from steelyard.compare.routes.outcome import Outcome, choose
from steelyard.compare.scenario import Scenario
from steelyard.errors import InputError, UnknownError
from steelyard.units import SECONDS_PER_YEAR

from .conftest import example

API_ONLY = {
    "routes__hosted_finetune": None,
    "routes__serve": None,
    "routes__hybrid": None,
    "routes__finetune": None,
    "routes__pretrain": None,
}
SEVEN = {
    "purpose", "compute_cost", "time_to_value", "hardware_requirements", "enterprise_relevance", "scalability",
    "optimisation_goals",
}  # fmt: skip


def _summary(result, route):
    return next(summary for summary in result.summaries if summary.route == route)


def test_seven_factors_for_both_activities_and_all_routes(weigh):
    result = weigh()
    assert {factor.id for factor in result.factors} == SEVEN
    for factor in result.factors:
        assert set(factor.activities) == set(ACTIVITIES)
        assert set(factor.routes) == set(ROUTES)
        assert factor.activity_verdict.criterion
        assert factor.route_verdict.criterion
        assert factor.tree.children, factor.id


def test_ranges_are_in_order_and_finite(weigh):
    for factor in weigh().factors:
        for cell in [*factor.activities.values(), *factor.routes.values()]:
            for quantity in cell.quantities:
                if quantity.value is not None:
                    assert quantity.value.p10 <= quantity.value.p50 <= quantity.value.p90, (factor.id, quantity.label)
                    assert math.isfinite(quantity.value.p50), (factor.id, quantity.label)


def test_the_three_questions_are_answered(weigh):
    result = weigh()
    for route in ROUTES:
        summary = _summary(result, route)
        assert summary.first_month_usd is not None, route
        assert summary.last_month_usd is not None, route
        assert summary.to_rent_or_buy, route
        assert len(summary.monthly_usd) == 24
    assert "from" in result.advice.casefold()
    assert result.break_even.segments


def test_a_thousandfold_load_changes_the_winner_and_the_text_says_where(weigh):
    small, large = weigh(), weigh(demand__requests_per_day=1e8)
    winners = [result.factor("compute_cost").route_verdict.winner for result in (small, large)]
    assert winners[0] == "api"
    assert winners[1] != "api"
    edge = small.break_even.segments[0].to_requests_per_month
    start = small.break_even.stated_requests_per_month
    assert start < edge < 1000 * start
    # Both look at the same lines, from either side.
    assert math.isclose(edge, large.break_even.segments[0].to_requests_per_month, rel_tol=0.05)


def test_costs_are_equal_on_both_sides_of_the_break_even(weigh):
    even = weigh().break_even
    first, second = even.segments[:2]
    case = build_case(Scenario.model_validate(example()))
    at = case.at_loads([first.to_requests_per_month / even.stated_requests_per_month])
    costs = []
    for route in (first.route, second.route):
        found = [option for option in EVALUATE[route](at) if isinstance(option, Outcome) and not option.why_not]
        costs.append(min(float(option.total_usd.item()) for option in found))
    assert math.isclose(*costs, rel_tol=0.01)


def test_cost_is_linear_in_price(weigh):
    price = {"input": 1e-6, "output": 4e-6}
    double = {"input": 2e-6, "output": 8e-6}
    one = weigh(routes__api={"options": ["openai/gpt-6-luna"]}, prices__api={"openai/gpt-6-luna": price})
    two = weigh(routes__api={"options": ["openai/gpt-6-luna"]}, prices__api={"openai/gpt-6-luna": double})
    cost = [_summary(result, "api").total_usd for result in (one, two)]
    for end in ("p10", "p50", "p90"):
        assert math.isclose(getattr(cost[1], end), 2 * getattr(cost[0], end), rel_tol=1e-9)


def test_a_stated_price_is_used_and_is_a_point():
    # 100,000 a day x 30.4375 days x (1000 x 1e-6 + 100 x 1e-5) USD = 6,087.50 USD in the first month
    lengths = {"isl": {"p50": 1000, "max": 1000}, "osl": {"p50": 100, "max": 100}}
    data = example(
        **API_ONLY,
        routes__api={"options": ["acme/model"]},
        prices__api={"acme/model": {"input": 1e-6, "output": 1e-5}},
        quality__floor=None,
        demand__lengths=lengths,
    )
    case = build_case(Scenario.model_validate(data))
    outcome = choose(EVALUATE["api"](case))
    mean = case.lengths.mean_isl_tokens * 1e-6 + case.lengths.mean_osl_tokens * 1e-5
    np.testing.assert_allclose(outcome.monthly_usd[:, 0], 100_000 * 30.4375 * mean, rtol=1e-12)
    assert math.isclose(case.lengths.mean_isl_tokens, 1000, rel_tol=0.35)


def test_unknown_quality_cannot_win(weigh):
    result = weigh()
    tuned = _summary(result, "finetune")
    assert not tuned.in_running
    assert tuned.why_not == "quality unknown"
    assert all(factor.route_verdict.winner != "finetune" for factor in result.factors)


def test_the_users_own_score_lets_a_route_run(weigh):
    result = weigh(quality__scores={"finetune": {"score": 1400, "low": 1390, "high": 1410}})
    assert _summary(result, "finetune").in_running
    assert _summary(result, "finetune").quality.evidence == "stated"


def test_a_score_below_the_floor_does_not_run(weigh):
    result = weigh(quality__scores={"serve": 1200})
    assert _summary(result, "serve").why_not == "below the quality floor"


def test_a_device_without_such_a_price_is_unpriced_not_guessed(weigh):
    result = weigh(routes__serve__devices=["rtx-4090"], routes__serve__pricing=["reserved_3y"], routes__hybrid=None)
    assert not _summary(result, "serve").in_running
    assert _summary(result, "serve").total_usd is None


def test_an_objective_out_of_reach_is_said(weigh):
    result = weigh(objective__tpot={"percentile": 95, "limit": "10 us"}, routes__hybrid=None)
    assert "TPOT" in _summary(result, "serve").why_not


def test_routes_left_out_are_not_considered(weigh):
    result = weigh(**API_ONLY)
    assert _summary(result, "serve").why_not == "not considered"
    assert result.factor("compute_cost").route_verdict.winner == "api"


def test_nothing_priced_is_one_line():
    data = example(
        **{**API_ONLY, "routes__api": None, "routes__serve": {"devices": ["rtx-4090"], "pricing": ["reserved_3y"]}}
    )
    from steelyard.compare.weigh import compare

    with pytest.raises(InputError, match="no route can be priced") as caught:
        compare(Scenario.model_validate(data))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("per_day", [0.01, 1e9])
def test_extreme_loads_stay_finite(weigh, per_day):
    result = weigh(demand__requests_per_day=per_day)
    for summary in result.summaries:
        if summary.total_usd is not None:
            assert math.isfinite(summary.total_usd.p90), summary.route


def test_one_month_and_falling_demand(weigh):
    result = weigh(horizon=1, demand__growth_per_month="-20%", demand__growth_range=None)
    assert len(_summary(result, "api").monthly_usd) == 1


def test_the_same_seed_gives_the_same_document(weigh):
    from steelyard.compare.weigh import compare

    again = compare(Scenario.model_validate(example()))
    assert json.dumps(again.to_dict(), sort_keys=True) == json.dumps(weigh().to_dict(), sort_keys=True)


def test_more_growth_never_costs_less(weigh):
    slow = weigh(demand__growth_per_month="0%", demand__growth_range=None)
    fast = weigh(demand__growth_per_month="10%", demand__growth_range=None)
    for route in ("api", "serve", "hybrid"):
        assert _summary(fast, route).total_usd.p50 >= _summary(slow, route).total_usd.p50


def test_hybrid_never_costs_more_than_the_api_plus_its_smallest_fleet(weigh):
    # The split is chosen, so it is at most one replica above the API, and at most about the whole fleet.
    result = weigh(demand__requests_per_day=1e7)
    hybrid, serve = _summary(result, "hybrid").total_usd.p50, _summary(result, "serve").total_usd.p50
    assert hybrid <= serve * 1.02


def test_a_trace_and_a_config_of_the_users_own(tmp_path):
    from steelyard.compare.scenario_file import load_scenario
    from steelyard.compare.weigh import compare

    # Two kinds of request in equal number: 100 in and 10 out, 300 in and 30 out; means 200 and 20.
    rows = "\n".join(f"{i},{(1 + 2 * (i % 2)) * 100},{(1 + 2 * (i % 2)) * 10}" for i in range(200))
    (tmp_path / "requests.csv").write_text("TIMESTAMP,ContextTokens,GeneratedTokens\n" + rows + "\n", encoding="utf-8")
    config = {
        "model_type": "llama", "hidden_size": 2048, "intermediate_size": 5632, "num_hidden_layers": 22,
        "num_attention_heads": 32, "num_key_value_heads": 4, "vocab_size": 32000, "max_position_embeddings": 4096,
        "hidden_act": "silu", "rms_norm_eps": 1e-5, "tie_word_embeddings": False, "torch_dtype": "bfloat16",
    }  # fmt: skip
    (tmp_path / "config.json").write_text(json.dumps(config), encoding="utf-8")
    text = """
name: mine
model: config.json
horizon: 6 months
region: DEU
demand: {requests_per_day: 5000, lengths: {trace: requests.csv}}
quality: {scale: our own, scores: {api: 80, serve: 82}, floor: 75}
routes:
  api: {options: [openai/gpt-6-luna]}
  serve: {devices: [l4, rtx-4090], pricing: [on_demand]}
draws: 20
"""
    path = tmp_path / "mine.yaml"
    path.write_text(text, encoding="utf-8")
    result = compare(load_scenario(path))
    assert "200 tokens in and 20 out" in result.outcome
    assert _summary(result, "serve").in_running
    assert _summary(result, "serve").quality.value.p50 == 82


def test_a_fine_tuning_that_stands_for_training_has_no_loss_of_a_law_of_pretraining(weigh):
    tuned, pretrained = weigh(routes__pretrain=None), weigh()
    for result, known in ((tuned, False), (pretrained, True)):
        cells = [result.factor(name).activities["training"] for name in ("purpose", "optimisation_goals")]
        losses = [one for cell in cells for one in cell.quantities if "loss" in one.label]
        assert len(losses) == 2
        assert [one.value is not None for one in losses] == [known, known]
    assert not [one for one in tuned.factor("optimisation_goals").activities["training"].quantities
                if one.label == "perplexity"]  # fmt: skip


def test_a_training_run_without_a_price_says_which_price_to_state():
    from steelyard.compare.weigh import compare

    data = example(**{**API_ONLY, "as_of": "2019-01-01"})
    data["prices"] = {"api": {name: {"input": 1e-6, "output": 1e-6} for name in data["routes"]["api"]["options"]}}
    with pytest.raises(UnknownError, match=r"no training run.*unpriced: .*prices\.devices") as caught:
        compare(Scenario.model_validate(data))
    assert "routes.pretrain" not in str(caught.value)


def test_what_is_unpriced_says_so_once(weigh):
    stated = {"devices": {"h100-sxm5-80gb": {"on_demand": "2 USD/device/h"}}}
    result = weigh(as_of="2019-01-01", prices=stated)
    reasons = [_summary(result, route).why_not for route in ROUTES]
    assert any(reason.startswith("unpriced: ") for reason in reasons)
    assert max(reason.count("unpriced") for reason in reasons) == 1


def _cost_terms(result):
    return list(result.factor("compute_cost").tree.walk())


def test_the_cost_of_people_goes_down_to_a_salary_with_its_source(weigh):
    published = [term for term in _cost_terms(weigh()) if term.label == "salary"]
    assert published
    assert all(term.source for term in published)
    stated = _cost_terms(weigh(prices={"engineer": "120000 USD/year"}))
    assert not [term for term in stated if term.label == "salary"]
    one = next(term for term in stated if term.label == "an engineer")
    assert one.value * SECONDS_PER_YEAR == pytest.approx(120_000)
    assert one.source == "stated in the scenario"


def test_what_is_paid_before_the_first_answer_adds_up(weigh):
    for term in _cost_terms(weigh()):
        if term.label == "before the first answer":
            assert term.value == pytest.approx(sum(child.value for child in term.children), rel=1e-6)


def test_a_contract_is_explained_without_a_forecast(weigh):
    name = "ours/model"
    contract = {"api": {name: {"input": "1 USD/Mtoken", "output": "2 USD/Mtoken"}}}
    result = weigh(routes__api={"options": [name]}, routes__hybrid=None, prices=contract)
    api = next(term for term in _cost_terms(result) if term.label == f"api: {name}")
    assert not [term for term in api.walk() if "forecast" in term.label]
    *tokens, kept = api.children
    assert api.value == pytest.approx(sum(term.value for term in tokens) * kept.value)


def test_where_no_quality_is_known_the_answer_says_what_to_state(weigh):
    contract = {"api": {"ours/model": {"input": "1 USD/Mtoken", "output": "2 USD/Mtoken"}}}
    unknown = weigh(**{**API_ONLY, "routes__api": {"options": ["ours/model"]}, "prices": contract})
    assert unknown.advice.startswith("No route can be recommended (api: quality unknown)")
    assert "State a score of api under quality.scores" in unknown.advice
    scored = dict.fromkeys(("hosted_finetune", "finetune", "pretrain"), 1000)
    below = weigh(quality__floor=3000, quality__scores=scored)
    assert below.advice.startswith("No route can be recommended")
    assert "under quality.scores" not in below.advice
