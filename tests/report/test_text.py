from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from steelyard.compare.result import Quantity, Verdict
from steelyard.records.estimate import Estimate
from steelyard.report import text


@pytest.mark.parametrize(
    ("value", "unit", "shown"),
    [
        (0.2, "s", "200 ms"),
        (1250.0, "usd", "1,250 USD"),
        (12_345.0, "usd", "12.3k USD"),
        (9.6e6, "usd", "9.6M USD"),
        (2.5e9, "usd_per_month", "2.5B USD/month"),
        (6e-7, "usd_per_token", "0.6 USD/Mtoken"),
        (0.0021, "usd_per_request", "2.1 USD/krequest"),
        (8.2e-5, "usd_per_request", "0.082 USD/krequest"),
        (2.345, "1", "2.35x"),
        (0.0125, "1", "1/80"),
        (0.0, "1", "0x"),
        (1354.4, "elo", "1,354 Elo"),
        (1.0, "device", "1 device"),
        (512.0, "device", "512 devices"),
        (370.0, "j_per_request", "370 J/request"),
        (math.inf, "usd", "unlimited"),
    ],
)
def test_one_value_reads_as_people_say_it(value: float, unit: str, shown: str) -> None:
    assert text.amount(value, unit) == shown


@pytest.mark.parametrize(
    ("low", "mid", "high", "unit", "shown"),
    [
        (0.9, 1.234, 1.6, "usd", ("1.2 USD", "0.9 to 1.6")),  # wide: two digits
        (1.22, 1.234, 1.25, "usd", ("1.23 USD", "1.22 to 1.25")),  # within a tenth: three
        (5.0, 5.0, 5.0, "usd", ("5 USD", "")),
        (0.2, 1.5, 30.0, "s", ("1.5 s", "200 ms to 30 s")),  # units differ: both are named
        (0.2, 0.9, 0.95, "s", ("900 ms", "200 to 950")),
        (7.5e3, 9.4e3, 11e3, "usd", ("9,400 USD", "7,500 to 11k")),
        (1 / 98, 1 / 78, 1 / 65, "1", ("1/78", "1/98 to 1/65")),
        (1.0, 1.0, 4.0, "device", ("1 device", "1 to 4")),
        (10.0, 20.0, math.inf, "s", ("20 s", "10 s to unlimited")),
    ],
)
def test_a_range_stands_in_the_unit_of_its_value(
    low: float, mid: float, high: float, unit: str, shown: tuple[str, str]
) -> None:
    assert text.span(low, mid, high, unit) == shown


@given(
    values=st.lists(st.floats(1e-9, 1e15), min_size=3, max_size=3),
    unit=st.sampled_from(["s", "usd", "1", "bytes", "usd_per_token", "elo", "j", "usd_per_request", "flop_per_s"]),
)
@settings(max_examples=200, deadline=None)
def test_any_range_is_one_short_line(values: list[float], unit: str) -> None:
    low, mid, high = sorted(values)
    shown = text.ranged(Estimate(p10=low, p50=mid, p90=high), unit)
    assert len(shown) < 80
    assert "\n" not in shown
    assert shown.count("(") == shown.count(")") <= 1


def test_a_quantity_carries_the_letter_of_its_evidence() -> None:
    known = Quantity(label="x", value=Estimate(p10=1, p50=1, p90=1), unit="usd", evidence="cited")
    assert text.quantity(known) == "1 USD [c]"
    unknown = Quantity(label="x", value=None, unit="usd", evidence="assumed", note="unpriced: no rows")
    assert text.quantity(unknown) == "unpriced: no rows"
    assert text.briefly(unknown) == "unpriced"


def test_every_evidence_has_a_letter_with_a_meaning() -> None:
    assert set(text.EVIDENCE.values()) == set(text.MEANING)
    assert all(f"[{letter}]" in text.legend() for letter in text.MEANING)


@pytest.mark.parametrize(
    ("verdict", "shown"),
    [
        (Verdict(winner="hosted_finetune", criterion="", probability=0.934), "hosted finetune (93% of draws)"),
        (Verdict(winner="api", criterion="", probability=1.0), "api (over 99% of draws)"),
        (Verdict(winner="tie", criterion=""), "tie"),
        (Verdict(winner="too close to call", criterion="", probability=0.6), "too close to call"),
        (Verdict(winner="", criterion=""), "nobody"),
    ],
)
def test_a_winner_is_named_with_its_share_of_the_draws(verdict: Verdict, shown: str) -> None:
    assert text.winner(verdict) == shown


def test_control_characters_do_not_get_through() -> None:
    assert text.clean("a\x1b[31m\nb\u202ec") == "a [31m b c"
