"""Laws of a hybrid: at its ends it is one of the two it is made of, between them its split is the least of all."""

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from steelyard.compare.case import build_case
from steelyard.compare.routes.device_price import COMMITMENT_MONTHS, device_price, owed_usd
from steelyard.compare.routes.hybrid import (
    Base,
    Named,
    _slower,
    best_split,
    candidates,
    evaluate,
    least_cost_replicas,
    named_outcome,
    near_best,
    overflow_ratio,
)
from steelyard.compare.routes.outcome import Latency, choose
from steelyard.compare.routes.overflow import from_api, from_devices
from steelyard.compare.routes.replica import find_replicas
from steelyard.compare.routes.serve import fleet
from steelyard.compare.scenario import Scenario
from steelyard.units import SECONDS_PER_MONTH

from .conftest import example

DEVICE, API = "h100-sxm5-80gb", "openai/gpt-6-luna"
LOADS = np.array([0.3, 1.0, 30.0, 1000.0])
PRICINGS = ("on_demand", "reserved_1y", "owned")


@pytest.fixture(scope="module")
def bases():
    """The base fleet of the last replica size, at several loads, by how it is paid and where the rest goes."""
    scenario = Scenario.model_validate(example(horizon=6))
    case = build_case(scenario).at_loads(LOADS)
    serve = scenario.routes.serve
    replica = find_replicas(case, serve, serve.model or scenario.model, DEVICE)[-1]
    to = {"api": from_api(case, API), "devices": from_devices(case, replica, case.score(API, "api"))}
    return {
        (pricing, name): Base(
            case=case, replica=replica, price=device_price(case, DEVICE, pricing), pricing=pricing, engineers=0.5,
            overflow=overflow,
        )
        for pricing in PRICINGS
        for name, overflow in to.items()
    }  # fmt: skip


@pytest.mark.parametrize("pricing", PRICINGS)
def test_a_base_for_the_whole_peak_costs_what_serving_alone_does(bases, pricing):
    base = bases[pricing, "api"]
    alone = fleet(base.case, "serve", "", base.replica, base.price, pricing, base.engineers, base.overflow.score)
    held = base.replica.held(base.case.peak_rate_per_s, pricing)
    whole = base.split(held)
    assert whole.over_ratio.max() == pytest.approx(0.0, abs=1e-12)
    assert whole.usd == pytest.approx(alone.monthly_usd)
    assert base.owed_usd(held) == pytest.approx(np.broadcast_to(alone.owed_usd, base.owed_usd(held).shape))
    assert whole.energy_j == pytest.approx(alone.serving_energy_j)


def test_without_a_base_everything_overflows(bases):
    base = bases["on_demand", "api"]
    none = base.split(np.zeros((len(LOADS), base.case.months)))
    assert none.over_ratio == pytest.approx(np.ones_like(none.over_ratio))
    each = base.overflow.usd_per_request
    assert none.usd == pytest.approx(np.broadcast_to(each * base.case.requests, none.usd.shape))


@pytest.mark.parametrize("pricing", PRICINGS)
@pytest.mark.parametrize("to", ["api", "devices"])
def test_the_best_split_costs_no_more_than_either_end(bases, pricing, to):
    base = bases[pricing, to]
    best = best_split(base)
    paid = best.usd.sum(axis=1) + base.owed_usd(best.replicas)[:, -1]
    for replicas in (np.zeros((1, base.case.months)), base.replica.held(base.case.peak_rate_per_s, pricing)):
        end = base.split(replicas)
        assert (paid <= (end.usd.sum(axis=1) + base.owed_usd(end.replicas)[:, -1]) * (1 + 1e-9)).all()


def test_no_other_number_of_replicas_costs_less_in_a_month(bases):
    base = bases["on_demand", "api"]
    around = np.minimum(
        *(base.split(replicas).usd - base.split(replicas).parts["people"] for replicas in least_cost_replicas(base))
    )
    most = int(base.replica.held(base.case.peak_rate_per_s, "on_demand").max())
    assert most > 1
    for count in range(most + 1):
        other = base.split(np.full((len(LOADS), base.case.months), float(count)))
        assert (around <= (other.usd - other.parts["people"]) * (1 + 1e-9)).all(), count


@pytest.mark.parametrize("pricing", PRICINGS)
def test_a_replica_that_works_all_the_time_costs_its_rent_and_its_electricity(bases, pricing):
    base = bases[pricing, "api"]
    one = base.split(np.ones((1, base.case.months)))
    spent, full = one.parts["base fleet"] + one.parts["electricity"], base.per_month_usd()
    assert base.case.mean_rate_per_s[-1].min() > base.replica.carries(np.ones((1, 1))).max()
    assert spent[-1] == pytest.approx(np.broadcast_to(full, spent.shape)[-1])  # at the largest load
    assert bool((one.parts["electricity"] > 0).all()) == (pricing == "owned")


@given(st.lists(st.floats(0.0, 3.0), min_size=2, max_size=8).map(sorted))
def test_the_more_a_base_carries_the_less_overflows(levels):
    shape = np.linspace(0.2, 1.8, 24)
    case = SimpleNamespace(hourly_shape_ratio=shape, mean_rate_per_s=np.ones((1, 1)))
    over = overflow_ratio(case, np.array([levels]))[0]
    assert (np.diff(over) <= 1e-12).all()
    direct = [np.maximum(shape - level, 0.0).mean() for level in levels]  # of a mean rate of 1
    assert over == pytest.approx(direct, abs=1e-12)


def test_what_is_owed_runs_from_the_month_in_which_each_device_joins():
    term = COMMITMENT_MONTHS["reserved_1y"]
    case, price = SimpleNamespace(months=3), SimpleNamespace(usd_per_device_s=np.full((1, 3), 1 / SECONDS_PER_MONTH))
    owed = owed_usd(case, np.array([[2.0, 2.0, 3.0]]), price, "reserved_1y")  # at one dollar a device and month
    assert owed[0] == pytest.approx([2 * (term - 1), 2 * (term - 2), 2 * (term - 3) + 1 * (term - 1)])
    assert owed_usd(case, np.array([[2.0, 2.0, 3.0]]), price, "on_demand").tolist() == [[0.0, 0.0, 0.0]]


def test_it_is_as_slow_as_the_slower_of_both():
    one, other = (
        Latency(ttft_s=np.array([[ttft]]), tpot_s=np.array([[tpot]]), e2e_s=np.array([[e2e]]), evidence="predicted")
        for ttft, tpot, e2e in ((1.0, 0.1, 5.0), (2.0, 0.05, 4.0))
    )
    slower = _slower(one, other)
    assert [slower.ttft_s.item(), slower.tpot_s.item(), slower.e2e_s.item()] == [2.0, 0.1, 5.0]


def test_what_is_not_evaluated_would_not_have_been_chosen():
    stated = example(horizon=6, routes__serve__devices=[DEVICE, "l40s"], routes__hybrid__overflow=["api", "devices"])
    for load in LOADS:
        case = build_case(Scenario.model_validate(stated)).scaled(load)
        named = [found for found in candidates(case) if isinstance(found, Named)]
        near = near_best(case)
        assert near < {found.option for found in named}  # some are left out, and none is made up
        assert choose([named_outcome(found) for found in named]).option in near


def test_only_the_options_asked_for_are_evaluated():
    case = build_case(Scenario.model_validate(example(horizon=6, routes__serve__devices=[DEVICE])))
    every = [found.option for found in evaluate(case)]
    assert len(every) > 2
    wanted = frozenset(every[1:2])
    assert {found.option for found in evaluate(case.wanting({"hybrid": wanted}))} == wanted


@pytest.mark.parametrize("low", ["serve", API])
def test_it_is_as_good_as_the_worse_of_both(low):
    scores = {"serve": 1400, API: 1450} | {low: 1200}
    stated = example(horizon=6, quality__scores=scores, quality__floor=1340, routes__serve__devices=[DEVICE])
    for found in candidates(build_case(Scenario.model_validate(stated))):
        if found.option.endswith(API):
            assert (found.score.value.p50, found.score.passes) == (1200, False)
