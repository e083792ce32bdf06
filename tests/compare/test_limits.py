"""What a user rules out or cannot pay is priced, shown, and cannot win; assumptions can be replaced."""

import numpy as np
import pytest

from steelyard.compare.case import build_case
from steelyard.compare.scenario import Scenario
from steelyard.compare.scenario_file import scenario_from
from steelyard.errors import InputError

from .conftest import example


def summary(found, route):
    return next(one for one in found.summaries if one.route == route)


def test_a_route_ruled_out_is_priced_and_cannot_win(weigh):
    free, bound = weigh(), weigh(limits={"ruled_out": {"api": "secrets"}})
    assert free.factor("compute_cost").route_verdict.winner == "api"
    assert bound.factor("compute_cost").route_verdict.winner != "api"
    out = summary(bound, "api")
    assert out.why_not == "ruled out: secrets"
    assert out.total_usd == summary(free, "api").total_usd
    assert "ruled out: secrets" in bound.advice


def test_what_is_over_the_budget_is_out_and_says_by_how_much(weigh):
    total = summary(weigh(), "serve").total_usd
    tight = weigh(limits={"budget": total.p10 * 0.9})
    assert summary(tight, "serve").why_not.startswith("over the budget: ")
    loose = weigh(limits={"budget": total.p90 * 2})
    assert summary(loose, "serve").why_not == summary(weigh(), "serve").why_not


def test_a_budget_that_most_draws_break_is_not_kept(weigh):
    """Kept in 80% of the draws is the rule; the median keeps one in 50%."""
    total = summary(weigh(), "serve").total_usd
    assert summary(weigh(limits={"budget": total.p50}), "serve").why_not


def test_a_wait_limits_what_takes_months(weigh):
    found = weigh(limits={"first_answer": "30 days"})
    assert summary(found, "pretrain").why_not.startswith("over the time to the first answer")
    assert "over" not in summary(found, "api").why_not


def test_no_limit_changes_nothing(weigh):
    assert weigh(limits={}).to_dict() == weigh().to_dict()


def test_an_assumption_of_the_user_replaces_the_shipped_one():
    stated = example(assumptions={"setup_pretrain": {"value": "3 days", "low": "1 day", "high": "2 weeks"}})
    drawn = build_case(Scenario.model_validate(stated)).assumed("setup_pretrain") / 86400
    low, middle, high = np.quantile(drawn, [0.1, 0.5, 0.9])
    assert (low, middle, high) == pytest.approx((1, 3, 14), rel=0.05)
    flat = build_case(Scenario.model_validate(example(assumptions={"rental_price_year": 0.9})))
    assert flat.rental_price_ratio[:, 12] == pytest.approx(0.9)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"limits": {"budget": -1}}, "limits.budget"),
        ({"limits": {"ruled_out": {"apis": "no"}}}, "limits.ruled_out"),
        ({"assumptions": {"setup_lunch": 3}}, "unknown assumption 'setup_lunch'"),
        ({"assumptions": {"win_probability": 0.5}}, "unknown assumption 'win_probability'"),
        ({"assumptions": {"setup_api": {"value": 5, "low": 6}}}, "low <= value <= high"),
    ],
)
def test_a_wrong_limit_is_one_line(changes, said):
    with pytest.raises(InputError, match=said) as caught:
        scenario_from(example(**changes))
    assert "\n" not in str(caught.value)
