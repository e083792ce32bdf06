from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from steelyard.compare import scenario_fields as fields
from steelyard.compare.case import build_case
from steelyard.compare.scenario import LengthStats, ObjectiveSpec, Scenario, StatedLengths, TraceLengths


def document(**changes: Any) -> dict[str, Any]:
    return {
        "name": "test",
        "model": "gpt-oss-120b",
        "horizon": "2 years",
        "region": "US-VA",
        "demand": {"requests_per_day": "20,000", "growth_per_month": "5%", "lengths": "chat"},
        "quality": {"scale": "arena-text"},
        "routes": {"api": {"options": ["openai/gpt-6-luna"]}},
        **changes,
    }


def test_friendly_quantities_become_si() -> None:
    scenario = Scenario.model_validate(
        document(
            objective={"ttft": {"limit": "200 ms"}, "tpot": {"limit": 0.05, "percentile": 99}},
            prices={
                "api": {"a/b": {"input": "0.60 USD/Mtoken", "output": "2.4 USD/Mtoken"}},
                "devices": {"h100": {"on_demand": "3.6 USD/device/h", "spot": "1.8 USD/h"}},
                "electricity": "0.072 USD/kWh",
                "grid": "360 gCO2e/kWh",
                "engineer": "315576 USD/year",
            },
        )
    )
    assert scenario.horizon_months == 24
    assert scenario.demand.requests_per_day == 20_000
    assert scenario.demand.growth_per_month_ratio == pytest.approx(0.05)
    assert scenario.objective.ttft is not None
    assert scenario.objective.ttft.limit_s == pytest.approx(0.2)
    prices = scenario.prices
    assert prices.api["a/b"].input_usd_per_token == pytest.approx(6e-7)
    assert prices.api["a/b"].cached_input_usd_per_token is None
    assert prices.devices["h100"] == pytest.approx({"on_demand": 1e-3, "spot": 5e-4})  # 3600 s an hour
    assert prices.electricity_usd_per_j == pytest.approx(2e-8)  # 3.6e6 J a kWh
    assert prices.grid_kgco2e_per_j == pytest.approx(1e-7)
    assert prices.engineer_usd_per_s == pytest.approx(0.01)  # 31,557,600 s a year


def test_what_is_absent_has_the_stated_defaults() -> None:
    scenario = Scenario.model_validate(document())
    assert (scenario.draws, scenario.seed, scenario.as_of) == (400, 0, None)
    assert scenario.demand.peak_to_mean_ratio is None
    assert (scenario.demand.growth_low_ratio, scenario.demand.growth_high_ratio) == (0.05, 0.05)
    assert scenario.routes.serve is None
    objective = scenario.objective.to_objective()
    assert math.isinf(objective.ttft_s)
    assert math.isinf(objective.tpot_s)


def test_objective_carries_its_percentiles() -> None:
    spec = ObjectiveSpec.model_validate({"tpot": {"percentile": 99, "limit": "50 ms"}})
    objective = spec.to_objective()
    assert (objective.tpot_percentile, objective.tpot_s) == (99, pytest.approx(0.05))


def test_lengths_take_three_forms() -> None:
    def lengths(value: Any) -> Any:
        return Scenario.model_validate(document(demand={"requests_per_day": 1, "lengths": value})).demand.lengths

    assert lengths("chat") == "chat"
    stated = lengths({"isl": {"mean": 1000, "p50": "800 tokens", "max": "4 ktoken"}, "osl": {"p99.9": 300}})
    assert isinstance(stated, StatedLengths)
    assert stated.isl.mean_tokens == 1000
    assert stated.isl.quantile_tokens == {0.5: 800, 1.0: 4000}
    assert stated.osl.quantile_tokens == {99.9 / 100: 300}
    assert isinstance(lengths({"trace": "requests.csv"}), TraceLengths)


TOGETHER = {"values": [[0.1, 0.1], [0.0, 0.8]], "isl_edges": [0, 0.2, 1], "osl_edges": [0, 0.1, 1]}


def with_joint_shares(table: Any) -> dict[str, Any]:
    stated = {"isl": {"p50": 500, "p99": 4000}, "osl": {"p50": 90, "p99": 900}, "joint_shares": table}
    return document(demand={"requests_per_day": 5, "lengths": stated})


def test_lengths_are_drawn_as_the_table_of_joint_shares_says() -> None:
    scenario = Scenario.model_validate(with_joint_shares(TOGETHER))
    assert Scenario.model_validate(scenario.to_dict()) == scenario
    lengths = build_case(scenario).lengths
    # No answer of the shortest tenth belongs to a prompt beyond the shortest fifth.
    short = lengths.osl_tokens < np.quantile(lengths.osl_tokens, 0.09)
    assert short.any()
    assert lengths.isl_tokens[short].max() <= np.quantile(lengths.isl_tokens, 0.21)


@pytest.mark.parametrize(
    ("table", "where", "words"),
    [
        ([[0.5, 0], [0, 0.5]], (), "a list stands where fields belong; allowed: values, isl_edges, osl_edges"),
        ({"values": [[0.5, 0.5]]}, ("values",), "is no table of shares; allowed: 2 to 100 rows"),
        ({**TOGETHER, "isl_edges": [0, 20, 100]}, ("isl_edges",), "hold '20', which is no share"),
        ({**TOGETHER, "isl_edges": None}, (), "row 1 sums to 0.2; allowed: 0.5"),
    ],
)
def test_joint_shares_that_cannot_be_are_refused(table: Any, where: tuple[str, ...], words: str) -> None:
    with pytest.raises(ValidationError) as caught:
        Scenario.model_validate(with_joint_shares(table))
    (error,) = caught.value.errors()
    assert error["loc"][-1 - len(where) :] == ("joint_shares", *where)
    assert words in error["msg"]


def test_a_bare_score_is_a_score() -> None:
    quality = {"scale": "mine", "scores": {"serve": 71, "api": {"score": "80%", "low": "75%"}}}
    scores = Scenario.model_validate(document(quality=quality)).quality.scores
    assert (scores["serve"].score, scores["serve"].basis) == (71, "stated")
    assert (scores["api"].score, scores["api"].low) == (0.8, 0.75)


def test_a_scenario_is_frozen_and_survives_its_own_document() -> None:
    scenario = Scenario.model_validate(
        document(
            demand={"requests_per_day": 5, "lengths": {"isl": {"mean": 10, "p90": 20, "max": 30}, "osl": {"p50": 3}}},
            objective={"ttft": {"limit": "2 s"}},
            as_of="2026-11-22",
        )
    )
    assert Scenario.model_validate(scenario.to_dict()) == scenario
    with pytest.raises(ValidationError):
        scenario.seed = 1


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({"p50": 100, "p90": 50}, "quantiles fall"),
        ({"mean": 100, "max": 50}, "larger than max"),
        ({"p0": 100}, "no such field"),
        ({"p100": 100}, "no such field"),
        ({"median": 100}, "no such field"),
        ({}, "stands where lengths belong"),
        ({"mean": "1 GB"}, "not a number of tokens"),
        ({"mean": 0}, "out of range"),
    ],
)
def test_lengths_that_cannot_be_are_refused(data: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        LengthStats.model_validate(data)


@pytest.mark.parametrize(
    "value", [-1, 0, "0", float("nan"), "nan", float("inf"), 1e30, "1e30", 10**400, True, None, []]
)
def test_a_count_of_requests_is_positive_and_finite(value: Any) -> None:
    with pytest.raises(ValidationError) as caught:
        Scenario.model_validate(document(demand={"requests_per_day": value, "lengths": "chat"}))
    (error,) = caught.value.errors()
    assert "allowed: above 0 and up to 1e12" in error["msg"]


@given(value=st.one_of(st.floats(), st.integers(), st.text(max_size=40), st.booleans(), st.none(), st.lists(st.none())))
@settings(max_examples=200, deadline=None)
def test_a_quantity_is_in_its_range_or_refused_in_one_line(value: Any) -> None:
    number, message = 0.0, "allowed: 0 to 10 s"
    try:
        number = fields.quantity(value, "a time", ("s",), low=0.0, high=10.0, allowed="0 to 10 s")
    except ValueError as error:
        message = str(error)
    assert 0 <= number <= 10
    assert "\n" not in message
    assert message.endswith("allowed: 0 to 10 s")


def test_a_rate_with_its_unit_means_the_same_as_a_bare_number() -> None:
    for written in (20_000, "20000", "20,000", "20_000", "2e4", "20000 requests/day"):
        scenario = Scenario.model_validate(document(demand={"requests_per_day": written, "lengths": "chat"}))
        assert scenario.demand.requests_per_day == pytest.approx(20_000)


@pytest.mark.parametrize(("written", "months"), [("24 months", 24), ("2 years", 24), (24, 24), ("730 days", 24)])
def test_a_horizon_is_whole_months(written: Any, months: int) -> None:
    assert Scenario.model_validate(document(horizon=written)).horizon_months == months


@pytest.mark.parametrize("written", ["10 days", "3 weeks", 0, 121, "11 years", 1.5, "24 GB"])
def test_a_horizon_that_is_not_is_refused(written: Any) -> None:
    with pytest.raises(ValidationError, match="1 to 120 months"):
        Scenario.model_validate(document(horizon=written))
