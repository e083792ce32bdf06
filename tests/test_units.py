"""Units as text at the edges; expected values by hand."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steelyard.units import format_number, format_quantity, parse_quantity, parse_unit


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
