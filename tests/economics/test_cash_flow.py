from __future__ import annotations

from datetime import date

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from steelyard import economics
from steelyard.records.usage import Usage
from steelyard.units import SECONDS_PER_MONTH, SECONDS_PER_YEAR


def owned(**given_inputs) -> economics.Ownership:
    stated = {
        "rate_ratio": 0.0, "life_s": 4 * SECONDS_PER_YEAR, "server_usd_per_device": 8100.0,
        "network_ratio": 0.19, "residual_ratio": 0.0, "maintenance_per_s": 0.0, "power_w": 0.0,
        "site_usd_per_w_s": 0.0,
    }  # fmt: skip
    return economics.ownership("h100", **{**stated, **given_inputs})


def test_total_and_present_value():
    flow = economics.cash_flow(np.array([100.0, 100.0]), discount_ratio=0.10)
    assert flow.total_usd == 200.0
    # 100 / 1.1^(0.5/12) + 100 / 1.1^(1.5/12)
    assert flow.present_value_usd == pytest.approx(99.60365 + 98.81562, abs=1e-3)


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=24), st.floats(0.001, 0.5))
@settings(max_examples=30, deadline=None)
def test_discounting_never_adds_value(payments, rate):
    flow = economics.cash_flow(np.array(payments), discount_ratio=rate)
    assert flow.present_value_usd <= flow.total_usd
    assert economics.cash_flow(np.array(payments)).present_value_usd == pytest.approx(flow.total_usd)


def test_draws_and_months():
    flow = economics.cash_flow(np.ones((5, 12)), discount_ratio=np.linspace(0, 0.2, 5))
    assert np.shape(flow.total_usd) == (5,)
    assert (np.diff(flow.present_value_usd) < 0).all()


def test_rented_months():
    price = economics.stated_price(1e-3, device_id="h100", kind="on_demand", as_of=date(2026, 1, 1))
    usage = Usage(device_s=np.array([1000.0, 2000.0]))
    assert economics.rented_usd(usage, price) == pytest.approx([1.0, 2.0])
    assert economics.rented_usd(usage, price, price_ratio=np.array([1.0, 0.5])) == pytest.approx([1.0, 1.0])


def test_owning_for_a_whole_life_costs_what_buying_costs():
    # Without interest and resale, the charge of a full life adds up to the price: 8,100 / 0.81 = 10,000.
    months = 48
    usage = Usage(device_s=np.full(months, SECONDS_PER_MONTH))
    amortised = economics.owned_usd(usage, owned(), pue=1.0, usd_per_j=0.0)
    paid = economics.bought_usd(np.ones(months), Usage(), owned(), pue=1.0, usd_per_j=0.0)
    assert np.sum(amortised) == pytest.approx(10_000)
    assert np.sum(paid) == pytest.approx(10_000)
    assert paid[0] == pytest.approx(10_000)


def test_devices_are_bought_when_they_are_added_and_sold_at_the_end():
    paid = economics.bought_usd(np.array([1.0, 2.0, 2.0, 1.0]), Usage(), owned(), pue=1.0, usd_per_j=0.0, resale=False)
    assert paid == pytest.approx([10_000, 10_000, 0.0, 0.0])
    sold = economics.bought_usd(np.array([1.0, 2.0, 2.0, 1.0]), Usage(), owned(), pue=1.0, usd_per_j=0.0)
    # used 4 and 3 of 48 months: worth 10,000 * 44/48 + 10,000 * 45/48 = 18,541.67
    assert sold[-1] == pytest.approx(-18541.67, abs=0.01)


def test_energy_and_upkeep_are_paid_monthly():
    own = owned(maintenance_per_s=0.12 / SECONDS_PER_YEAR)
    usage = Usage(it_energy_j=np.array([3.6e9, 0.0]))  # 1,000 kWh in the first month
    paid = economics.bought_usd(np.ones(2), usage, own, pue=1.5, usd_per_j=0.10 / 3.6e6, resale=False)
    # 1,000 * 1.5 * 0.10 = 150; upkeep 12% of 10,000 a year = 100 a month
    assert paid == pytest.approx([10_000 + 100 + 150, 100])


def test_api_months_follow_the_price():
    usage = Usage(output_tokens=np.full(13, 1e6))
    paid = economics.api_usd(
        usage,
        economics.api_price("openai/gpt-4o"),
        price_ratio=economics.price_ratio_ahead(0.5, np.arange(13)),
    )
    assert paid[0] == pytest.approx(10.0)  # 10 USD per million output tokens
    assert paid[12] == pytest.approx(5.0)
