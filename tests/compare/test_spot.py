"""Spot devices are charged the on-demand ones that stand in for them while they are taken back."""

import dataclasses

import numpy as np
import pytest

from steelyard import economics
from steelyard.compare.case import build_case
from steelyard.compare.routes import device_price as room
from steelyard.compare.scenario import Scenario
from steelyard.units import SECONDS_PER_MONTH

from .conftest import example

DEVICE, HOUR = "h100-sxm5-80gb", 3600.0


def spot(monkeypatch, per_s, return_s):
    """Return the price of a spot device at 1 USD an hour, on demand at 3, taken back at a rate and for a time."""
    stated = {DEVICE: {"on_demand": "3 USD/device/h"}}
    case = build_case(Scenario.model_validate(example(horizon=2, prices__devices=stated)))
    taken = dataclasses.replace(
        economics.interruption(case.device(DEVICE).accelerator), value=per_s, low=None, high=None
    )
    monkeypatch.setattr(economics, "interruption", lambda _: taken)
    monkeypatch.setattr(type(case), "assumed", lambda _self, _name: np.full((1, 1), return_s))
    one = room.DevicePrice(
        usd_per_device_s=np.full((1, 2), 1.0 / HOUR),
        powered_by_user=False,
        evidence="cited",
        tree=lambda: None,
        note="spot",
    )
    return room._with_interruptions(case, DEVICE, one)


def test_a_device_that_is_away_as_long_as_it_is_there_costs_the_mean_of_both(monkeypatch):
    found = spot(monkeypatch, per_s=1e-3, return_s=1e3)  # taken back every 1000 s, for 1000 s
    assert np.unique(found.usd_per_device_s * HOUR) == pytest.approx([2.0])


def test_a_device_that_is_away_a_quarter_of_the_time(monkeypatch):
    found = spot(monkeypatch, per_s=1e-3, return_s=1e3 / 3)  # 1000 s there, 333 s away
    assert np.unique(found.usd_per_device_s * HOUR) == pytest.approx([0.75 * 1.0 + 0.25 * 3.0])


def test_a_device_that_is_never_taken_back_costs_what_it_says(monkeypatch):
    found = spot(monkeypatch, per_s=0.0, return_s=1e3)
    assert np.unique(found.usd_per_device_s * HOUR) == pytest.approx([1.0])


def test_how_often_is_told_by_the_month(monkeypatch):
    assert "taken back 5.0% of devices a month" in spot(monkeypatch, per_s=0.05 / SECONDS_PER_MONTH, return_s=1.0).note
