"""Fields of a scenario: they take friendly quantities and refuse everything else in plain words."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Any

from pydantic import BeforeValidator

from steelyard.compare.scenario_spec import shown
from steelyard.units import (
    JOULES_PER_KWH,
    SECONDS_PER_DAY,
    SECONDS_PER_HOUR,
    SECONDS_PER_MONTH,
    SECONDS_PER_YEAR,
    parse_quantity,
)


def quantity(
    value: object,
    what: str,
    suffixes: tuple[str, ...],
    *,
    low: float,
    high: float,
    allowed: str,
    above: bool = False,
    scale: float = 1.0,
) -> float:
    """Return a friendly quantity as a field stores it: SI times `scale`; a bare number is taken as stored.

    Args:
        value: What the user wrote.
        what: The quantity in words, for the error ("a time").
        suffixes: SI suffixes taken, tried in order.
        low: Smallest stored value; refused itself when `above`.
        high: Largest stored value.
        allowed: The range and an example in words.
        above: Whether the value must be above `low`.
        scale: Stored units per SI unit.

    Raises:
        ValueError: Not such a quantity, or out of range.

    Example:
        >>> quantity("200 ms", "a time", ("s",), low=0, high=60, allowed="up to 1 min")
        0.2
    """
    number = None
    if isinstance(value, (int, float, str)) and not isinstance(value, bool):
        for suffix in suffixes:
            try:
                number = parse_quantity(value, suffix)
            except (ValueError, OverflowError):  # another dimension, not a number, an integer beyond floats
                continue
            break
    if number is None:
        raise ValueError(f"{shown(value)} is not {what}; allowed: {allowed}")
    if isinstance(value, str) and not value.rstrip(" .")[-1:].isdigit():
        number *= scale
    if not low <= number <= high or (above and number == low):
        raise ValueError(f"{shown(value)} is out of range; allowed: {allowed}")
    return number


def _quantity(what: str, *suffixes: str, **limits: Any) -> BeforeValidator:
    return BeforeValidator(lambda value: quantity(value, what, suffixes, **limits))


def whole(what: str, low: int, high: int) -> BeforeValidator:
    """Return the validator of a field that holds a whole number from `low` to `high`."""
    allowed = f"a whole number from {low} to {high}"

    def parse(value: object) -> int:
        number = quantity(value, what, ("",), low=low, high=high, allowed=allowed)
        if number != int(number):
            raise ValueError(f"{shown(value)} is not {what}; allowed: {allowed}")
        return int(number)

    return BeforeValidator(parse)


def _months(value: object) -> int:
    allowed = "1 to 120 months, for example 24 months or 2 years"
    months = quantity(
        value, "a number of months", ("s",), low=1, high=120.4, allowed=allowed, scale=1 / SECONDS_PER_MONTH
    )
    if abs(months - round(months)) > 0.02:  # 730 days are two years to a user
        raise ValueError(f"{shown(value)} is not a whole number of months; allowed: {allowed}")
    return round(months)


def text(value: object) -> str:
    """Return a name a user wrote, stripped."""
    if not isinstance(value, str):
        raise ValueError(f"{shown(value)} is not a name; allowed: text")  # noqa: TRY004
    if not value.strip() or len(value) > 300:
        raise ValueError(f"{shown(value)} is not a name; allowed: 1 to 300 characters")
    return value.strip()


def length(value: object) -> float:
    """Return a length of a prompt or an answer in tokens."""
    allowed = "1 to 1e8, for example 1200"
    return quantity(value, "a number of tokens", ("token",), low=1, high=1e8, allowed=allowed)


def day(value: object) -> date:
    """Return a day written as YYYY-MM-DD."""
    try:
        found = value if isinstance(value, date) else date.fromisoformat(str(value))
    except ValueError:
        found = None
    if found is None or not 2000 <= found.year <= 2100:
        raise ValueError(f"{shown(value)} is not a day; allowed: YYYY-MM-DD from 2000 to 2100")
    return found


def _names(value: object) -> tuple[str, ...]:
    if not isinstance(value, (list, tuple)):
        raise ValueError(f"{shown(value)} is not a list; allowed: a list of names in [ ]")  # noqa: TRY004
    if not 1 <= len(value) <= 64:
        raise ValueError(f"{len(value)} names; allowed: 1 to 64")
    return tuple(value)


Text = Annotated[str, BeforeValidator(text)]
Names = Annotated[tuple[Text, ...], BeforeValidator(_names)]
Day = Annotated[date, BeforeValidator(day)]
Months = Annotated[int, BeforeValidator(_months)]
Count = Annotated[int, whole("a number", 1, 1000)]
Devices = Annotated[int, whole("a number of devices", 1, 1_000_000)]
Time = Annotated[
    float,
    _quantity(
        "a time", "s", low=0, above=True, high=SECONDS_PER_DAY, allowed="above 0 and up to 1 day, for example 200 ms"
    ),
]
Share = Annotated[float, _quantity("a share", "ratio", low=0, high=1, allowed="0% to 100%, for example 20%")]
Growth = Annotated[
    float, _quantity("a growth per month", "ratio", low=-0.5, high=1, allowed="-50% to 100%, for example 5%")
]
Peak = Annotated[float, _quantity("a ratio", "ratio", low=1, high=1000, allowed="1 to 1000, for example 2.5")]
Pue = Annotated[float, _quantity("a ratio", "ratio", low=1, high=5, allowed="1 to 5, for example 1.2")]
Multiplier = Annotated[float, _quantity("a ratio", "ratio", low=1, high=100, allowed="1 to 100, for example 3")]
Percentile = Annotated[float, _quantity("a percentile", "", low=1, high=99.9, allowed="1 to 99.9, for example 95")]
Points = Annotated[
    float,
    _quantity("a score", "ratio", "elo", "point", low=-1e6, high=1e6, allowed="a number, for example 1340 or 62%"),
]
People = Annotated[
    float,
    _quantity("a number of people", "person", low=0, high=10_000, allowed="0 to 10000, for example 0.5"),
]
Usd = Annotated[
    float,
    _quantity("an amount of money", "usd", low=0, high=1e12, allowed="0 to 1e12 USD, for example 20000 USD"),
]
Tokens = Annotated[
    float,
    _quantity(
        "a number of tokens",
        "token",
        low=0,
        above=True,
        high=1e16,
        allowed="above 0 to 1e16, for example 15 Mtoken",
    ),
]
RequestsPerDay = Annotated[
    float,
    _quantity(
        "a number of requests per day",
        "request_per_s",
        low=0,
        above=True,
        high=1e12,
        scale=SECONDS_PER_DAY,
        allowed="above 0 and up to 1e12, for example 20000",
    ),
]
UsdPerToken = Annotated[
    float,
    _quantity(
        "a price of tokens",
        "usd_per_token",
        low=0,
        high=0.01,
        allowed="0 to 10000 USD/Mtoken, for example 0.60 USD/Mtoken",
    ),
]
UsdPerDevice = Annotated[
    float,
    _quantity(
        "a price of device time",
        "usd_per_device_s",
        "usd_per_s",
        low=0,
        high=1000 / SECONDS_PER_HOUR,
        allowed="0 to 1000 USD/device/h, for example 3.20 USD/device/h",
    ),
]
UsdPerJoule = Annotated[
    float,
    _quantity(
        "a price of electricity",
        "usd_per_j",
        low=0,
        high=10 / JOULES_PER_KWH,
        allowed="0 to 10 USD/kWh, for example 0.08 USD/kWh",
    ),
]
GridIntensity = Annotated[
    float,
    _quantity(
        "a grid intensity",
        "kgco2e_per_j",
        low=0,
        high=3 / JOULES_PER_KWH,
        allowed="0 to 3000 gCO2e/kWh, for example 300 gCO2e/kWh",
    ),
]
Salary = Annotated[
    float,
    _quantity(
        "the yearly cost of an engineer",
        "usd_per_s",
        low=0,
        high=1e7 / SECONDS_PER_YEAR,
        allowed="0 to 1e7 USD/year, for example 250000 USD/year",
    ),
]
