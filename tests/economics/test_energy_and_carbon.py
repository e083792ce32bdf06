from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from steelyard import economics
from steelyard.errors import UnknownError

KWH = 3.6e6
POSITIVE = st.floats(0, 1e15)


def test_energy_cost_by_hand():
    # 1,000 kWh of IT energy at a PUE of 1.2 and 0.10 USD/kWh: 120 USD
    assert economics.energy_cost_usd(1000 * KWH, pue=1.2, usd_per_j=0.10 / KWH) == pytest.approx(120.0)


def test_emissions_by_hand():
    # 1,000 kWh, PUE 1.2, 0.4 kg/kWh: 480 kg
    assert economics.carbon_kgco2e(1000 * KWH, pue=1.2, kgco2e_per_j=0.4 / KWH) == pytest.approx(480.0)


@given(POSITIVE, st.floats(1, 3), st.floats(0, 1e-6), st.floats(0, 100))
@settings(max_examples=30, deadline=None)
def test_both_are_linear(energy, pue, rate, factor):
    for function, name in (
        (economics.energy_cost_usd, "usd_per_j"),
        (economics.carbon_kgco2e, "kgco2e_per_j"),
    ):
        base = function(energy, pue=pue, **{name: rate})
        assert function(energy * factor, pue=pue, **{name: rate}) == pytest.approx(base * factor)
        assert function(energy, pue=pue, **{name: rate * factor}) == pytest.approx(base * factor)


def test_arrays_broadcast():
    cost = economics.energy_cost_usd(np.ones((3, 1)), pue=np.array([1.0, 1.5]), usd_per_j=1.0)
    assert np.shape(cost) == (3, 2)


@pytest.mark.parametrize("region", ["US-VA", "virginia", "Virginia"])
def test_one_region_has_many_names(region):
    # Virginia, industrial, 2023: 8.92 cents (EIA); grid 244.8 g/kWh (eGRID 2023)
    assert economics.electricity_price(region).value * KWH == pytest.approx(0.0892)
    assert economics.grid_intensity(region).value * KWH * 1e3 == pytest.approx(244.8)


def test_newest_industrial_price_leads_and_older_ones_widen_it():
    # Connecticut: 19.07 cents in 2025-04, 15.69 in 2023
    price = economics.electricity_price("Connecticut")
    assert price.value * KWH == pytest.approx(0.1907)
    assert (price.low * KWH, price.high * KWH) == pytest.approx((0.1569, 0.1907))
    # United States: industrial 0.08175 (2024), although a commercial price of 0.146 is newer
    nation = economics.electricity_price("USA")
    assert nation.value * KWH == pytest.approx(0.08175)
    assert nation.high * KWH == pytest.approx(0.146)


def test_two_sources_of_a_grid_give_its_range():
    # France: 56.0 (codecarbon) and 41.4 (ecologits) g/kWh
    france = economics.grid_intensity("FRA")
    assert (france.low * KWH * 1e3, france.high * KWH * 1e3) == pytest.approx((41.4, 56.039))


def test_unknown_regions_get_the_nearest_and_the_next_step():
    with pytest.raises(UnknownError, match=r"(?s)unpriced.*Virginia.*prices\.electricity"):
        economics.electricity_price("Virgina")
    with pytest.raises(UnknownError, match=r"France.*prices\.grid"):
        economics.grid_intensity("Frence")


def test_cloud_region_without_a_price_stops():
    assert economics.grid_intensity("gcp:us-east4").value * KWH * 1e3 == pytest.approx(322)
    with pytest.raises(UnknownError, match="unpriced"):
        economics.electricity_price("gcp:us-east4")


def test_pue_of_operators():
    assert economics.pue("google").value == 1.1
    assert economics.pue("industry").value == 1.58  # survey of 2023
    fleet = economics.pue("hyperscaler")
    # median of 1.1, 1.18, 1.15, 1.08
    assert (fleet.low, fleet.value, fleet.high) == pytest.approx((1.08, 1.125, 1.18))
    with pytest.raises(UnknownError, match="google"):
        economics.pue("gogle")
