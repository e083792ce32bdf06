from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from steelyard import economics
from steelyard.errors import InputError, UnknownError
from steelyard.records.term import explain
from steelyard.units import SECONDS_PER_YEAR

RATES, YEARS = st.floats(0.0, 0.3), st.floats(1.0, 10.0)


def test_annuity_of_a_textbook_loan():
    # 8% over 5 years: 0.08 / (1 - 1.08^-5) = 0.08 / (1 - 0.680583) = 0.250456
    assert economics.annuity_ratio(0.08, 5.0) == pytest.approx(0.250456, abs=1e-6)
    assert economics.annuity_ratio(0.0, 4.0) == 0.25
    assert economics.annuity_ratio(np.array([0.0, 0.08]), 5.0) == pytest.approx([0.2, 0.250456], abs=1e-6)


@pytest.mark.parametrize(("rate", "years"), [(0.08, 0.0), (0.08, -1.0), (-1.0, 5.0)])
def test_annuity_refuses_what_has_no_meaning(rate, years):
    with pytest.raises(InputError):
        economics.annuity_ratio(rate, years)


@given(st.floats(1e-9, 0.3), st.integers(1, 12))
@settings(max_examples=40, deadline=None)
def test_annuity_repays_its_capital(rate, years):
    # The payments, each discounted to today, are worth the capital of 1.
    payment = economics.annuity_ratio(rate, float(years))
    assert sum(payment / (1 + rate) ** year for year in range(1, years + 1)) == pytest.approx(1.0)


@given(YEARS)
@settings(max_examples=20, deadline=None)
def test_annuity_is_continuous_at_a_rate_of_zero(years):
    assert economics.annuity_ratio(1e-8, years) == pytest.approx(economics.annuity_ratio(0.0, years), rel=1e-6)


def test_server_share_of_a_device_with_a_server_price():
    # 255,237.04 USD for 8 (ownership table); network 19% of the cluster: 31,904.63 / 0.81 = 39,388.43
    own = economics.ownership("h100-sxm5-80gb")
    assert own.server_usd_per_device == pytest.approx(31904.63)
    assert own.capex_usd_per_device == pytest.approx(39388.43, abs=0.01)
    assert own.power_w == pytest.approx(10200 / 8)


def test_server_share_of_a_device_sold_alone():
    # A100 40GB: 12,500 USD a device (2022-07) times 1.64 = 20,500
    own = economics.ownership("a100-sxm4-40gb")
    assert own.server_usd_per_device == pytest.approx(20500)
    # 400 W times (10,200 / 8) / 700
    assert own.power_w == pytest.approx(400 * 1275 / 700)


def test_a_price_that_holds_its_server_is_not_multiplied():
    assert economics.ownership("a100-sxm4-80gb").server_usd_per_device == pytest.approx(17349)


def test_rack_is_shared_by_its_devices():
    assert economics.ownership("gb200-nvl72").server_usd_per_device == pytest.approx(3.4e6 / 72)


def test_cost_per_second_by_hand():
    own = economics.ownership(
        "h100-sxm5-80gb", rate_ratio=0.0, life_s=5 * SECONDS_PER_YEAR, server_usd_per_device=8100.0,
        network_ratio=0.19, residual_ratio=0.1, maintenance_per_s=0.05 / SECONDS_PER_YEAR, power_w=1000.0,
        site_usd_per_w_s=2.0 / SECONDS_PER_YEAR,
    )  # fmt: skip
    # capex 8100 / 0.81 = 10,000; capital (10,000 - 810) / 5 = 1,838; maintenance 500; site 2,000
    assert own.usd_per_device_s * SECONDS_PER_YEAR == pytest.approx(4338)


@given(RATES, YEARS, st.floats(0.0, 0.9))
@settings(max_examples=40, deadline=None)
def test_renting_at_the_annuity_equals_buying(rate, years, residual):
    # Paying the capital charge at each year's end is worth, today, the price less the discounted resale.
    years = float(round(years))
    own = economics.ownership(
        "h100-sxm5-80gb", rate_ratio=rate, life_s=years * SECONDS_PER_YEAR, residual_ratio=residual
    )
    rent = own.capital_usd_per_device_s * SECONDS_PER_YEAR
    worth = sum(rent / (1 + rate) ** year for year in range(1, int(years) + 1))
    bought = own.capex_usd_per_device - own.residual_usd_per_device / (1 + rate) ** years
    assert worth == pytest.approx(bought)


@given(st.floats(1e3, 1e5), st.floats(1.0, 5.0))
@settings(max_examples=20, deadline=None)
def test_dearer_server_is_never_cheaper_to_own(price, factor):
    def cost(server):
        return economics.ownership("h100", server_usd_per_device=server).usd_per_device_s

    assert cost(price * factor) >= cost(price)


def test_arrays_of_draws_broadcast():
    rates = np.array([[0.05], [0.10]])
    lives = np.array([3.0, 5.0, 6.0]) * SECONDS_PER_YEAR
    own = economics.ownership("h100", rate_ratio=rates, life_s=lives)
    assert np.shape(own.usd_per_device_s) == (2, 3)
    one = economics.ownership("h100", rate_ratio=0.10, life_s=5 * SECONDS_PER_YEAR)
    assert own.usd_per_device_s[1, 1] == pytest.approx(one.usd_per_device_s)


def test_building_in_place_of_colocation():
    own = economics.ownership("h100", site="building", rate_ratio=0.08)
    # 11.7 USD/W (table) over 20 years at 8%: annuity 0.101852; 1,275 W
    assert own.site_usd_per_device_s * SECONDS_PER_YEAR == pytest.approx(1275 * 11.7 * 0.101852, rel=1e-4)


def test_residual_curve_falls_through_the_table_and_beyond():
    # H100: 0.625 after one year, 0.125 after five (middles of the printed ranges)
    assert economics.residual_curve_ratio(1.0) == pytest.approx(0.625)
    assert economics.residual_curve_ratio(5.0) == pytest.approx(0.125)
    assert economics.residual_curve_ratio(6.0) == pytest.approx(0.125 * 0.125 / 0.175)  # the last slope goes on
    curve = economics.residual_curve_ratio(np.linspace(0, 10, 101))
    assert (np.diff(curve) < 0).all()


def test_device_without_a_price_is_unpriced():
    with pytest.raises(UnknownError, match="unpriced: l40s has no purchase price"):
        economics.ownership("l40s")


def test_network_share_must_leave_room_for_servers():
    with pytest.raises(InputError):
        economics.ownership("h100", network_ratio=1.0)


def test_explanation_reaches_the_figures():
    tree = explain(economics.ownership("h100"))
    sources = " ".join(term.source for term in tree.walk())
    assert "epoch-hardware-prices" in sources
    assert "assumed" in sources
    parts = [child.value for child in tree.children]
    assert sum(parts) == pytest.approx(tree.value)


def test_staff_is_a_rota_until_the_fleet_outgrows_it():
    rota = 5 * economics.engineer_usd_per_s()  # five people (table), day and night
    assert economics.staff_usd_per_s(8) == pytest.approx(rota)
    assert economics.staff_usd_per_s(8000) == pytest.approx(10 * economics.engineer_usd_per_s())  # 800 devices each
    assert economics.staff_usd_per_s(80, round_the_clock=False) == pytest.approx(0.1 * economics.engineer_usd_per_s())
