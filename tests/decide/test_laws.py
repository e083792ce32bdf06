"""Laws that hold whatever the numbers: of the routes over the months, and of the decision on them."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from steelyard import economics
from steelyard.compare.case import build_case
from steelyard.compare.routes import EVALUATE, hybrid
from steelyard.compare.routes.hybrid import spilled_ratio
from steelyard.compare.routes.outcome import Outcome
from steelyard.decide import decide

from .conftest import DRAWS, scenario

DEVICE = "h100-sxm5-80gb"
LOADS = np.logspace(-3, 3, 13)


def priced(case, route):
    return [found for found in EVALUATE[route](case) if isinstance(found, Outcome)]


def total(found, count):
    return np.broadcast_to(found.total_usd[:, 0], (count,))


def contract(usd_per_mtoken):
    return {"openai/gpt-6-luna": {"input": usd_per_mtoken * 1e-6, "output": 4e-6 * usd_per_mtoken}}


@settings(max_examples=8, deadline=None)
@given(
    growth=st.sampled_from([-0.1, 0.0, 0.05, 0.2]),
    price=st.floats(0.02, 20.0),
    engineers=st.sampled_from([0.0, 0.5]),
    pricing=st.sampled_from(["on_demand", "reserved_1y", "owned"]),
    overflow=st.sampled_from(["api", "on_demand"]),
)
def test_a_hybrid_is_never_dearer_than_its_parents(growth, price, engineers, pricing, overflow):
    asked = scenario(
        demand__growth_per_month=growth,
        demand__growth_range=None,
        prices__api=contract(price),
        routes__api={"options": ["openai/gpt-6-luna"]},
        routes__serve={"devices": [DEVICE], "pricing": [pricing], "engineers": engineers, "max_devices_per_replica": 1},
        routes__hybrid={"overflow": [overflow]},
    )
    case = build_case(asked, simulated=True).at_loads(LOADS)
    [split], [serve] = priced(case, "hybrid"), priced(case, "serve")
    parents = [total(serve, len(LOADS))]
    if overflow == "api":
        parents.append(total(priced(case, "api")[0], len(LOADS)))
    assert np.all(total(split, len(LOADS)) <= np.min(parents, axis=0) * (1 + 1e-9))


@pytest.mark.parametrize(("per_day", "growth"), [(1e4, 0.0), (1e6, 0.1), (3e7, 0.05)])
def test_a_hybrid_that_is_left_out_would_not_have_been_chosen(per_day, growth):
    """All of them over the draws, against those near the best in the median case."""
    asked = scenario(
        demand__requests_per_day=per_day,
        demand__growth_per_month=growth,
        demand__growth_range=None,
        prices__api=contract(0.5),
        routes__api={"options": ["openai/gpt-6-luna"]},
        routes__serve={
            "devices": [DEVICE], "max_devices_per_replica": 2, "pricing": ["on_demand", "spot", "reserved_1y", "owned"],
        },
        routes__hybrid={"overflow": ["api", "on_demand"]},
    )  # fmt: skip
    case = build_case(asked, simulated=True)
    every = {one.option: hybrid.named_outcome(one) for one in hybrid.candidates(case)}
    kept = {found.option: found for found in priced(case, "hybrid")}
    assert set(kept) < set(every)
    for to in ("openai/gpt-6-luna", f"{DEVICE} on demand"):
        least = [
            min(np.median(found.total_usd) for option, found in options.items() if option.endswith(to))
            for options in (every, kept)
        ]
        assert least[0] == least[1]


@settings(max_examples=6, deadline=None)
@given(
    growth=st.sampled_from([-0.1, 0.0, 0.1]),
    pricing=st.sampled_from(["on_demand", "spot", "reserved_3y", "owned"]),
    deferrable=st.sampled_from([0.0, 0.5, 1.0]),
)
def test_cost_rises_with_load(growth, pricing, deferrable):
    asked = scenario(
        demand__growth_per_month=growth,
        demand__growth_range=None,
        demand__deferrable=deferrable,
        routes__serve={"devices": [DEVICE], "pricing": [pricing], "max_devices_per_replica": 2},
    )
    case = build_case(asked, simulated=True).at_loads(LOADS)
    for route in ("api", "hosted_finetune", "serve", "hybrid", "finetune"):
        for found in priced(case, route):
            costs = total(found, len(LOADS))
            assert np.all(np.diff(costs) >= -1e-9 * costs[1:]), found.option


def test_rent_equals_buy_where_the_annuity_says_so():
    """At a rent equal to the annuity of a device with its upkeep and site, power free, owning costs the same."""
    rent = float(np.asarray(economics.ownership(DEVICE).usd_per_device_s))
    asked = scenario(
        demand__growth_per_month=0.0,
        demand__growth_range=None,
        demand__requests_per_day=1e8,
        prices={"electricity": 0.0, "devices": {DEVICE: {"on_demand": rent}}},
        routes__serve={"devices": [DEVICE], "pricing": ["on_demand", "owned"], "max_devices_per_replica": 1},
    )
    case = build_case(asked, simulated=True).at_loads([1.0])
    rented, owned = priced(case, "serve")
    per_device = [found.total_usd[0, 0] / found.devices.sum() for found in (rented, owned)]
    assert math.isclose(*per_device, rel_tol=1e-9)
    assert 0 <= owned.devices[0, 0] - rented.devices[0, 0] < 8  # owned ones come by the whole server


def test_an_irrelevant_price_changes_nothing():
    other = {"l40s": {"on_demand": 1e-3}, DEVICE: {"reserved_3y": 1e-3}}
    plain, changed = (decide(scenario(**more), draws=DRAWS).to_dict() for more in ({}, {"prices__devices": other}))
    assert plain == changed


def test_a_dominated_route_never_wins():
    """Tuning the model that is served anyway, to the same score, costs all that serving does and the training."""
    found = decide(
        scenario(
            demand__requests_per_day=1e8,
            quality={"scale": "mine", "floor": 1, "scores": dict.fromkeys(("serve", "finetune"), 2)},
            routes__api=None,
            routes__hybrid=None,
            routes__finetune__model="gpt-oss-120b",
        ),
        draws=DRAWS,
    )
    assert found.route("finetune").in_running
    assert found.verdict.shares == {"serve": 1.0, "finetune": 0.0}
    assert found.cheapest is not None
    assert {name for row in found.cheapest.route for name in row} == {"serve"}
    assert [step.route for step in found.plan.steps] == ["serve"]
    assert all(one.worth_usd == 0 for one in found.influences)  # nothing to know: the choice is clear


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(0.1, 5.0), min_size=2, max_size=24), st.floats(0.0, 6.0))
def test_what_spills_over_is_what_exceeds_the_level(shape, level):
    hours = np.array(shape)
    expected = np.maximum(hours - level, 0.0).mean()
    assert math.isclose(spilled_ratio(hours, np.array(level)).item(), expected, abs_tol=1e-9)


@pytest.mark.parametrize(
    ("change", "allowed"),
    [
        ({"horizon": 0}, "1 to 120 months"),
        ({"demand__growth_per_month": -0.9}, "-50% to 100%"),
        ({"demand__deferrable": 2}, "0% to 100%"),
        ({"demand__requests_per_day": 0}, "above 0"),
    ],
)
def test_input_out_of_range_is_refused(change, allowed):
    with pytest.raises(ValueError, match=allowed):
        scenario(**change)


def test_an_objective_that_nothing_keeps_leaves_the_routes_without_a_fleet():
    found = decide(scenario(objective={"tpot": {"limit": "1 us"}}, routes__hybrid=None), draws=20)
    serve = found.route("serve")
    assert not serve.in_running
    assert "misses the objective" in serve.why_not
    assert serve.monthly_usd == ()
