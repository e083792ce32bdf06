"""Units as text at the edges; expected values by hand."""

import math
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steelyard.units import SECONDS_PER_MONTH, format_number, format_quantity, parse_quantity, parse_unit


@pytest.mark.parametrize(
    ("text", "suffix", "factor"),
    [
        ("TB/s", "bytes_per_s", 1e12),
        ("GiB", "bytes", 2**30),
        ("Gbit/s", "bytes_per_s", 1.25e8),
        ("TFLOP/s", "flop_per_s", 1e12),
        ("USD/device/h", "usd_per_device_s", 1 / 3600),
        ("USD/Mtoken", "usd_per_token", 1e-6),
        ("gCO2e/kWh", "kgco2e_per_j", 1e-3 / 3.6e6),
        ("%", "ratio", 0.01),
        ("tokens", "token", 1.0),
        ("Ttokens", "token", 1e12),
        ("days", "s", 86_400.0),
        ("USD/kW/month", "usd_per_w_s", 1e-3 / (365.25 * 86_400 / 12)),
    ],
)
def test_units_as_printed_become_si(text, suffix, factor):
    got_suffix, got_factor = parse_unit(text)
    assert got_suffix == suffix
    assert math.isclose(got_factor, factor, rel_tol=1e-12)


@pytest.mark.parametrize("text", ["apples", "", "B/apple", "mh", "kday"])
def test_unknown_units_are_refused(text):
    with pytest.raises(ValueError, match="unknown unit"):
        parse_unit(text)


@pytest.mark.parametrize(
    ("text", "suffix", "value"), [("200 ms", "s", 0.2), ("1,500 tokens", "token", 1500.0), (7, "s", 7.0)]
)
def test_friendly_quantities(text, suffix, value):
    assert math.isclose(parse_quantity(text, suffix), value)


@pytest.mark.parametrize(
    ("text", "suffix"), [("3 GB", "s"), ("abc", "s"), (float("nan"), "s"), (True, "s"), ("1e999", "s"), ("", "s")]
)
def test_wrong_quantities_are_refused(text, suffix):
    with pytest.raises(ValueError, match=r"."):
        parse_quantity(text, suffix)


@given(st.floats(min_value=1e-6, max_value=1e15))
def test_numbers_keep_three_digits(value):
    shown = float(format_number(value).replace(",", ""))
    assert math.isclose(shown, value, rel_tol=0.006)


@pytest.mark.parametrize(
    ("value", "suffix", "shown"),
    [
        (8.9e11, "bytes", "890 GB"),
        (90.0, "s", "90 s"),
        (7200.0, "s", "2 h"),
        (3600 * 57e6, "device_s", "57 M device-h"),
        (2.5e-5, "usd_per_request", "0.000025 USD/request"),
        (1.2e6, "request", "1.2M requests"),
        (8.03e9, "param", "8.03B params"),
        (15.0, "request", "15 requests"),
        (float("inf"), "s", "unlimited"),
        (0.0, "usd", "0 USD"),
    ],
)
def test_values_for_people(value, suffix, shown):
    assert format_quantity(value, suffix) == shown


@given(st.floats(1e-5, 1e8), st.sampled_from(["usd_per_device_s", "s", "j", "device_s", "bytes", "ratio", "token"]))
def test_digits_are_those_of_the_unit_shown(value: float, suffix: str) -> None:
    """A rate stated as 2.9 USD/device-h shows as 2.9, not as what two digits of USD/device-s come to."""
    shown = format_quantity(value, suffix, 2)
    number = re.match(r"[\d,.]+", shown)[0].replace(",", "")
    assert float(number) == float(f"{float(number):.2g}"), shown
    if suffix in {"bytes", "ratio", "token", "s"}:  # in units that are read too
        assert parse_quantity(shown, suffix) == pytest.approx(value, rel=0.051)


@pytest.mark.parametrize(
    ("text", "per_s"),
    [
        ("40M requests/month", 40e6 / SECONDS_PER_MONTH),
        ("40 Mrequests/month", 40e6 / SECONDS_PER_MONTH),
        ("2B requests/day", 2e9 / 86_400),
        ("3 requests/s", 3.0),
        ("3 rps", 3.0),
        ("0.5qps", 0.5),
        ("90 rpm", 1.5),
        ("12k request/h", 12e3 / 3600),
    ],
)
def test_rates_of_requests_as_they_are_said(text: str, per_s: float) -> None:
    assert parse_quantity(text, "request_per_s") == pytest.approx(per_s)


@pytest.mark.parametrize("text", ["40M", "40X requests/month", "40 requests/parsec", "4 BB/s"])
def test_rates_that_are_none(text: str) -> None:
    with pytest.raises(ValueError):
        parse_quantity(text, "request_per_s")
