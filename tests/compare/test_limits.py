"""What a user rules out or cannot pay is priced, shown, and cannot win; assumptions can be replaced."""

import numpy as np
import pytest

from steelyard.compare.case import build_case
from steelyard.compare.routes import EVALUATE
from steelyard.compare.routes.outcome import choose, median
from steelyard.compare.scenario import Scenario
from steelyard.compare.scenario_file import scenario_from
from steelyard.errors import InputError

from .conftest import example


def routes(**changes):
    """Return each route's option as `compare` chooses it."""
    case = build_case(Scenario.model_validate(example(**changes)))
    return {name: choose(evaluate(case)) for name, evaluate in EVALUATE.items()}


@pytest.fixture(scope="module")
def free():
    return routes()


def test_a_route_ruled_out_is_priced_and_cannot_win(free):
    bound = routes(limits={"ruled_out": {"api": "secrets"}})
    assert free["api"].why_not == ""
    assert bound["api"].why_not == "ruled out: secrets"
    assert np.array_equal(bound["api"].total_usd, free["api"].total_usd)
    assert bound["serve"].why_not == free["serve"].why_not


def test_what_is_over_the_budget_is_out_and_says_by_how_much(free):
    total = free["serve"].total_usd
    tight = routes(limits={"budget": float(total.min()) * 0.9})["serve"]
    assert tight.why_not.startswith("over the budget: ")
    assert routes(limits={"budget": float(total.max()) * 2})["serve"].why_not == free["serve"].why_not


def test_a_budget_that_most_draws_break_is_not_kept(free):
    """Kept in 80% of the draws is the rule; the median keeps one in 50%."""
    assert routes(limits={"budget": median(free["serve"].total_usd)})["serve"].why_not.startswith("over the budget")


def test_a_wait_limits_what_takes_months(free):
    found = routes(limits={"first_answer": "30 days"})
    assert found["pretrain"].why_not.startswith("over the time to the first answer")
    assert found["api"].why_not == free["api"].why_not


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
