"""Controls: what one writes it reads back, and nothing else of the scenario changes by it."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from steelyard.compare.scenario_file import load_scenario, scenario_from
from steelyard.errors import InputError
from steelyard.web.choices import CHOICES
from steelyard.web.controls import changed, controls, values

SCENARIO = load_scenario()
SLIDERS = [control for control in controls().values() if control.kind == "slider"]


def moved(**changes):
    return scenario_from(changed(SCENARIO, changes, models=()), base_dir=SCENARIO.base_dir)


def test_every_control_applies_to_the_example_and_stands_within_its_ends():
    found = values(SCENARIO)
    assert set(found) == set(controls())
    for control in SLIDERS:
        at = found[control.id]
        assert at["low"] <= at["value"] <= at["high"], control.id


def test_nothing_moved_is_the_scenario_itself():
    assert moved() == SCENARIO


@settings(max_examples=40, deadline=None)
@given(st.sampled_from(SLIDERS), st.floats(0, 1))
def test_a_slider_reads_back_what_it_wrote(control, share):
    low, high = control.ends(SCENARIO)
    value = low + (high - low) * share
    if control.id == "growth":
        value = min(value, 40.0)  # over 24 months a scenario takes no more
    if control.id in {"horizon", "pretrain_devices", "isl", "osl"}:
        value = float(round(value))
    after = values(moved(**{control.id: value}))
    expected = round(value) if control.id in {"isl", "osl"} else value
    assert after[control.id]["value"] == pytest.approx(expected, rel=2e-3)


def test_growth_takes_its_range_along():
    demand = moved(growth=8.0).demand
    assert demand.growth_per_month_ratio == pytest.approx(0.08)
    assert demand.growth_range == pytest.approx((0.03, 0.13))  # 0 to 10% around 5%


def test_the_upper_end_of_a_limit_is_no_limit():
    assert moved(ttft=30.0).objective.ttft is None
    assert moved(ttft=1.5).objective.ttft.limit_s == pytest.approx(1.5)
    assert moved(tpot=500.0).objective.tpot is None


def test_a_length_of_ones_own_replaces_the_preset_and_a_preset_replaces_it():
    own = moved(isl=2000.0, osl=400.0)
    assert own.demand.lengths.isl.mean_tokens == 2000
    assert own.demand.lengths.osl.mean_tokens == 400
    assert values(own)["lengths"]["value"] == "own"
    assert moved(lengths="code").demand.lengths == "code"


def test_a_price_of_ones_own_is_a_contract():
    prices = moved(api_input=1.5, rental=2.0, electricity=0.12).prices
    contract = prices.api["openai/gpt-6-luna"]
    assert contract.input_usd_per_token == pytest.approx(1.5e-6)
    assert contract.output_usd_per_token > 0  # the list price, for want of another
    assert prices.devices["h100-sxm5-80gb"]["on_demand"] == pytest.approx(2.0 / 3600)
    assert prices.electricity_usd_per_j == pytest.approx(0.12 / 3.6e6)


def test_choices_are_names_that_a_scenario_takes():
    assert moved(region="DEU", model="llama-3.1-8b", devices=["mi300x"]).model == "llama-3.1-8b"
    for name, choices in CHOICES.items():
        names = [choice for choice, _ in choices()]
        assert len(names) == len(set(names)) > 3, name


@pytest.mark.parametrize("changes", [{"model": "../../etc/passwd"}, {"devices": "h100"}, {"load": True}, {"load": 1}])
def test_what_is_no_value_is_refused(changes):
    with pytest.raises(InputError):
        moved(**changes)
