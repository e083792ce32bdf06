from __future__ import annotations

from datetime import date

import pytest

from steelyard import economics
from steelyard.records.term import explain

RELEASE = date(2023, 3, 15)
DEVICE_S = 57e6 * 3600.0  # Epoch AI: 57 million A100-hours
ENERGY_J = DEVICE_S * 400.0


def test_gpt4_at_the_prices_of_its_day():
    # Epoch AI (2023 USD): 40.6 million amortised with energy, 78.6 at cloud prices, 778 to buy it.
    bill = economics.training_accountings(DEVICE_S, ENERGY_J, "a100-sxm4-40gb", num_devices=25_000, as_of=RELEASE)
    assert 40e6 <= bill.amortised_usd < bill.rented_usd <= 80e6
    assert 500e6 < bill.bought_usd < 900e6


def test_rent_uses_no_later_price():
    bill = economics.training_accountings(DEVICE_S, ENERGY_J, "a100-sxm4-40gb", num_devices=25_000, as_of=RELEASE)
    assert all(row.as_of <= RELEASE for row in bill.rental.rows)


def test_accountings_by_hand():
    rental = economics.stated_price(1e-3, device_id="h100", kind="contract", as_of=RELEASE)
    own = economics.ownership(
        "h100", rate_ratio=0.0, life_s=1e8, server_usd_per_device=8100.0, network_ratio=0.19,
        residual_ratio=0.0, maintenance_per_s=0.0, power_w=0.0,
    )  # fmt: skip
    bill = economics.training_accountings(
        1e6,
        1e9,
        "h100",
        num_devices=10,
        rental=rental,
        owned=own,
        fleet_busy_ratio=0.5,
        pue=1.0,
        usd_per_j=1e-8,
    )
    assert bill.rented_usd == pytest.approx(1000)  # 1e6 s at 1e-3
    # 10,000 USD over 1e8 s is 1e-4 a second, half of the time used: 200; energy 1e9 J at 1e-8: 10
    assert bill.amortised_usd == pytest.approx(210)
    assert bill.bought_usd == pytest.approx(100_010)


def test_explanation_holds_rental_and_ownership():
    bill = economics.training_accountings(DEVICE_S, ENERGY_J, "h100", num_devices=8)
    labels = {term.label for term in explain(bill, "rented_usd").walk()}
    assert "rental price of a device" in labels
    labels = {term.label for term in explain(bill, "amortised_usd").walk()}
    assert "owned device, without power" in labels
