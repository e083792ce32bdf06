"""The training inside a route: what is committed to is paid once for all that runs within it."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from steelyard.compare.case import build_case
from steelyard.compare.routes import EVALUATE
from steelyard.compare.routes.finetune import job_of
from steelyard.compare.routes.training_leg import train
from steelyard.compare.scenario import Scenario

from .conftest import example

SECONDS_OF_A_YEAR = 365.25 * 86400  # as units.SECONDS_PER_MONTH has it: a twelfth of it is a month
PRICE = 2.0 / 3600  # USD a device and second
TUNING = {
    "model": "llama-3.1-8b", "device": "h100-sxm5-80gb", "num_devices": 8, "training_tokens": "100 Mtoken",
    "engineers": 0, "data_usd": 0,
}  # fmt: skip
COMMITMENT = 8 * SECONDS_OF_A_YEAR * PRICE  # runs of minutes fit in it many times over


def of(pricing, **route):
    price = {"h100-sxm5-80gb": {pricing: "2 USD/device/h"}}
    stated = example(routes__finetune=TUNING | {"pricing": pricing} | route, prices__devices=price, horizon=24)
    return build_case(Scenario.model_validate(stated))


@pytest.fixture(scope="module")
def runs():
    """One run, by the way of paying for it."""
    cases = {pricing: of(pricing) for pricing in ("on_demand", "reserved_1y")}
    return {pricing: train(case, job_of(case.scenario.routes.finetune)) for pricing, case in cases.items()}


MONTHS = st.sets(st.integers(1, 23), max_size=8).map(lambda months: tuple(sorted(months)))


@given(first=st.integers(1, 5), again=st.integers(1, 5), months=MONTHS)
@settings(deadline=None, max_examples=30)
def test_on_demand_every_run_is_paid_in_its_month(runs, first, again, months):
    run = runs["on_demand"]
    once = np.asarray(run.run.device_s) * PRICE
    before, by_month = run.usd_with_refreshes(first, again, months)
    assert before == pytest.approx(first * once)
    expected = np.zeros((1, 24))
    expected[:, list(months)] = again
    assert by_month == pytest.approx(expected * once)


@given(first=st.integers(1, 5), again=st.integers(1, 5), months=MONTHS)
@settings(deadline=None, max_examples=30)
def test_a_commitment_is_paid_once_for_all_runs_in_its_year(runs, first, again, months):
    before, by_month = runs["reserved_1y"].usd_with_refreshes(first, again, months)
    assert before == pytest.approx(np.full(before.shape, COMMITMENT))
    second = [month for month in months if month >= 12]  # the first of them begins another year, which ends after 24
    assert by_month.sum(axis=1) == pytest.approx(np.full(len(by_month), COMMITMENT * bool(second)))
    if second:
        assert (by_month[:, second[0]] > 0).all()


def test_what_runs_longer_than_its_commitment_is_paid_for_as_long_as_it_runs(runs):
    run = runs["reserved_1y"]
    many = 10 * COMMITMENT / (np.asarray(run.run.device_s) * PRICE).min()
    assert (run.usd_of(many) >= 10 * COMMITMENT * (1 - 1e-9)).all()


def test_the_route_is_charged_so():
    case = of("reserved_1y", runs=3, refresh_months=1)
    trained = [found.training for found in EVALUATE["finetune"](case) if hasattr(found, "training")]
    assert trained
    for leg in trained:
        assert np.median(leg.usd) == pytest.approx(COMMITMENT)
        assert np.median(leg.refresh_usd) == pytest.approx(COMMITMENT)


def test_pretraining_is_charged_so_too():
    asked = {
        "model": "llama-3.2-1b", "device": "h100-sxm5-80gb", "num_devices": 8, "tokens": "1 Gtoken",
        "pricing": "reserved_1y", "engineers": 0, "rd_multiplier": 3,
    }  # fmt: skip
    prices = {"h100-sxm5-80gb": {"reserved_1y": "2 USD/device/h"}}
    case = build_case(Scenario.model_validate(example(routes__pretrain=asked, prices__devices=prices, horizon=24)))
    trained = [found.training for found in EVALUATE["pretrain"](case) if hasattr(found, "training")]
    assert trained
    for leg in trained:
        assert np.median(leg.usd) == pytest.approx(COMMITMENT + case.scenario.routes.pretrain.each_time_usd)
