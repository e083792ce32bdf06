"""The whole decision on the built-in example and its variations."""

import json
import math

import numpy as np
import pytest

from steelyard.compare.result import ROUTES
from steelyard.decide import decide
from steelyard.decide.result import NOBODY
from steelyard.errors import InputError
from steelyard.report.decision import render

from .conftest import scenario

LARGE = {"demand__requests_per_day": 1e8}
CONTRACT = {"prices__api": {"openai/gpt-6-luna": {"input": 1e-7, "output": 5e-7}}}  # keeps its price


def test_every_priced_route_has_its_months(decided):
    found = decided()
    assert len(found.month_dates) == len(found.requests_per_day) == 24
    for name in ("api", "hosted_finetune", "serve", "hybrid", "finetune"):
        route = found.route(name)
        for series in (route.monthly_usd, route.cumulative_usd, route.devices, route.energy_j, route.carbon_kgco2e):
            assert len(series) == 24, name
            assert all(month.p10 <= month.p50 <= month.p90 for month in series), name
        assert route.first_useful_day > found.as_of


def test_probabilities_sum_to_one(decided):
    for found in (decided(), decided(**LARGE)):
        for odds in (found.verdict, *found.odds):
            assert math.isclose(sum(odds.shares.values()), 1.0), odds.id
            assert set(odds.shares) <= {*ROUTES, NOBODY}


def test_the_same_seed_gives_the_same_bytes_and_another_does_not():
    first, again, other = (render(decide(scenario(), draws=20, seed=seed), form="json") for seed in (3, 3, 4))
    assert first == again
    assert first != other


def test_a_load_a_thousand_times_larger_changes_the_route_and_the_map_shows_where(decided):
    small, large = decided(**CONTRACT), decided(**CONTRACT, **LARGE)
    assert small.plan.steps[0].route == "api"
    assert {step.route for step in large.plan.steps} != {"api"}
    edges = [one for one in small.crossings if one.axis == "load"]
    assert edges
    assert small.cheapest is not None
    assert edges[0].at.p50 > 100_000
    row = small.cheapest.route[-1]
    assert row[0] == "api" != row[-1]


def test_unknown_quality_cannot_win_and_the_text_says_which_evaluation_settles_it(decided):
    tuned = decided(**LARGE).route("finetune")
    assert not tuned.in_running
    assert tuned.overall_probability == 0.0
    assert "evaluate" in tuned.settles
    assert "arena-text" in tuned.settles
    assert "quality.scores.finetune" in tuned.settles
    assert "qwen3-8b, tuned, on arena-text" in tuned.settles  # the model, on whatever it is served


def test_a_route_without_a_price_has_no_months_and_cannot_win(decided):
    found = decided(routes__api={"options": ["acme/unheard-of"]}, routes__hybrid=None)
    api = found.route("api")
    assert api.why_not.startswith("unpriced")
    assert api.monthly_usd == ()
    assert "api" not in found.verdict.shares


def test_where_nobody_passes_the_floor_the_answer_is_no(decided):
    found = decided(quality__floor=3000)
    assert found.plan.steps == ()
    assert found.verdict.shares == {NOBODY: 1.0}
    assert found.advice.startswith("No route can be recommended")


def test_a_score_near_the_floor_passes_it_in_some_draws(decided):
    scores = {"openai/gpt-6-luna": {"score": 1341, "low": 1300, "high": 1380}, "serve": {"score": 1500}}
    found = decided(quality={"scale": "mine", "floor": 1340, "scores": scores})
    assert 0.3 < found.verdict.shares["api"] < 0.7
    assert found.verdict.shares["serve"] > 0.3


def test_as_of_moves_the_calendar():
    from datetime import date

    found = decide(
        scenario(
            prices__api={"openai/gpt-6-luna": {"input": 1e-7, "output": 5e-7}},
            routes__api={"options": ["openai/gpt-6-luna"]},
        ),
        as_of=date(2026, 10, 31),
        draws=40,
    )
    assert found.month_dates[:5] == ("2026-10-31", "2026-11-30", "2026-12-31", "2027-01-31", "2027-02-28")


def test_people_who_are_not_stated_are_said_to_be_left_out(decided):
    found = decided(**LARGE, routes__serve__engineers=0.0)
    assert any("No people are charged to" in line and "serve" in line for line in found.also_assumed)
    assert any("`engineers` is 0 unless given" in line for line in found.not_modelled)


def test_too_many_draws_for_the_horizon_are_refused_in_one_line():
    with pytest.raises(ValueError, match="draws"):
        decide(scenario(horizon=120), draws=5000)


def test_everything_is_finite_json(decided):
    found = json.loads(render(decided(), form="json"))
    assert found["schema"] == "steelyard/decide/1"
    assert found["result"]["routes"][0]["monthly_usd"][0]["p50"] > 0


@pytest.mark.parametrize("form", [None, "markdown", "html"])
def test_every_form_tells_the_advice(decided, form):
    out = render(decided(), form=form)
    assert "Go with api" in " ".join(out.replace("\\", "").split())


def test_utilisation_counts_held_hours_or_busy_seconds(decided):
    found = {one.axis: one for one in decided().crossings if one.right == "serve"}
    reserved, busy = found["utilisation, reserved cost"], found["utilisation, busy cost"]
    assert reserved.at.p50 > busy.at.p50 > 0
    assert 0 < reserved.now < 1


def test_a_device_at_the_rent_of_break_even_makes_the_fleet_cost_what_the_api_does(decided):
    """Against reserved cost, without people: renting at that rate for the same hours is the API's bill."""
    flat = {
        **CONTRACT, **LARGE, "demand__growth_per_month": 0.0, "demand__growth_range": None,
        "routes__serve__pricing": ["on_demand"], "routes__serve__engineers": 0.0, "routes__hybrid": None,
    }  # fmt: skip
    found = decided(**flat)
    rents = {one.axis: one for one in found.crossings if (one.left, one.right) == ("serve", "api")}
    reserved, busy = rents["device rent, reserved cost"], rents["device rent, busy cost"]
    assert busy.at.p50 > reserved.at.p50 > 0
    assert "whatever the load" in busy.sentence
    rent = {"h100-sxm5-80gb": {"on_demand": reserved.at.p50}}
    again = decided(**flat, prices__devices=rent)
    assert again.route("serve").total_usd.p50 == pytest.approx(again.route("api").total_usd.p50, rel=0.1)
    tenfold = decided(**{**flat, "demand__requests_per_day": 10 * LARGE["demand__requests_per_day"]})
    other = next(one for one in tenfold.crossings if (one.left, one.axis) == ("serve", busy.axis))
    assert other.at.p50 == pytest.approx(busy.at.p50, rel=0.05)


def test_the_tornado_is_largest_first_and_knows_its_ends(decided):
    found = decided(**LARGE)
    names = [one.name for one in found.influences]
    assert {"growth", "serving_time", "rental"} <= set(names)
    growth = next(one for one in found.influences if one.name == "growth")
    assert growth.low_usd < growth.high_usd
    assert all(one.worth_usd >= 0 for one in found.influences)
    assert all(one.worth_usd <= found.perfect_information_usd + 1e-6 for one in found.influences)
    assert np.isfinite(found.perfect_information_usd)


def test_no_route_at_all_is_one_line():
    with pytest.raises(InputError, match="no route can be priced"):
        decide(scenario(routes={"api": {"options": ["acme/unheard-of"]}}, quality={"scale": "arena-text"}), draws=20)


GROWING = {
    "demand__requests_per_day": 200_000,
    "demand__growth_per_month": 0.12,
    "demand__growth_range": [0.06, 0.16],
    "prices__api": {"openai/gpt-6-luna": {"input": 5e-7, "output": 2e-6}},
    "routes__api": {"options": ["openai/gpt-6-luna"]},
}


def test_a_growing_demand_starts_with_the_api_and_ends_with_a_fleet(decided):
    found = decided(**GROWING)
    assert found.plan.change_month is not None
    assert 0 < found.plan.change_month.p50 < 24
    assert found.plan.change_requests_per_day.p50 > 200_000
    assert 0.5 < found.plan.change_probability <= 1.0
    assert "until" in found.advice
    assert "all answers from the API until" in found.advice or "api (openai/gpt-6-luna) until" in found.advice


def test_without_a_hybrid_the_plan_changes_route_in_the_month_that_costs_least(decided):
    found = decided(**GROWING, routes__hybrid=None)
    first, second = found.plan.steps
    assert (first.route, second.route) == ("api", "serve")
    assert second.set_up_by < second.from_date
    assert found.plan.saves_usd.p50 > 0
    best_single = min(found.route(name).total_usd.p50 for name in ("api", "serve"))
    assert found.plan.total_usd.p50 < best_single


def test_a_change_pays_what_the_first_route_owes_and_the_second_costs_upfront():
    """By hand: 10 a month and 5 still owed, against 40 before the first answer and 1 a month, over 4 months."""
    import dataclasses

    from steelyard.compare.case import build_case
    from steelyard.compare.routes import EVALUATE
    from steelyard.compare.routes.outcome import ZERO
    from steelyard.decide.plan import change

    case = build_case(scenario(horizon=4)).at_loads([1.0])
    plain = EVALUATE["api"](case)[0]
    months = np.ones((1, 4))
    first = dataclasses.replace(plain, monthly_usd=10 * months, upfront_usd=ZERO, owed_usd=5 * months)
    second = dataclasses.replace(plain, monthly_usd=months, upfront_usd=40 + ZERO, first_answer_s=ZERO + 1.0)
    found = change(case, {"a": first, "b": second}, "a", "b")
    # after month 1: 10 + 5 + 40 + 3 x 1; after month 2: 20 + 5 + 40 + 2; after month 3: 30 + 5 + 40 + 1
    assert found.totals_usd[0].tolist() == [np.inf, 58.0, 67.0, 76.0]
    assert found.month == 1


def test_what_is_set_against_the_api_is_a_table_and_the_rest_are_sentences(decided):
    found = decided()
    against = [one for one in found.crossings if one.quantity]
    assert {one.axis for one in against} == {
        "price", "utilisation, reserved cost", "utilisation, busy cost", "device rent, reserved cost",
        "device rent, busy cost",
    }  # fmt: skip
    for form in (None, "markdown", "html"):
        out = " ".join(render(found, form=form).replace("\\", "").split())
        for one in found.crossings:
            assert (one.sentence in out) is not bool(one.quantity), (form, one.axis)
        assert "Costs what the API does at" in out
    fleet = next(one for one in against if one.axis == "device rent, busy cost")
    assert f"{fleet.at.p50 * 3600:.2g} USD/device-h" in render(found)


def test_what_matters_most_has_its_heading_on_the_page_with_and_without_a_plot(decided):
    for found in (decided(), decided(quality__floor=3000)):
        assert render(found, form="html").count("<h2>What matters most</h2>") == 1
