"""Fields of a scenario: they take friendly quantities and refuse everything else in plain words."""

from __future__ import annotations

from datetime import date
from typing import Annotated

from pydantic import BeforeValidator

from steelyard.records.spec import shown
from steelyard.records.spec_fields import Text, quantity, quantity_field, whole
from steelyard.units import (
    JOULES_PER_KWH,
    SECONDS_PER_DAY,
    SECONDS_PER_HOUR,
    SECONDS_PER_MONTH,
    SECONDS_PER_YEAR,
)


def _months(value: object) -> int:
    allowed = "1 to 120 months, for example 24 months or 2 years"
    months = quantity(
        value, "a number of months", ("s",), low=1, high=120.4, allowed=allowed, scale=1 / SECONDS_PER_MONTH
    )
    if abs(months - round(months)) > 0.02:  # 730 days are two years to a user
        raise ValueError(f"{shown(value)} is not a whole number of months; allowed: {allowed}")
    return round(months)


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


Names = Annotated[tuple[Text, ...], BeforeValidator(_names)]
Day = Annotated[date, BeforeValidator(day)]
Months = Annotated[int, BeforeValidator(_months)]
Count = Annotated[int, whole("a number", 1, 1000)]
Devices = Annotated[int, whole("a number of devices", 1, 1_000_000)]
Time = Annotated[
    float,
    quantity_field(
        "a time", "s", low=0, above=True, high=SECONDS_PER_DAY, allowed="above 0 and up to 1 day, for example 200 ms"
    ),
]
Wait = Annotated[
    float,
    quantity_field(
        "a time",
        "s",
        low=0,
        above=True,
        high=10 * SECONDS_PER_YEAR,
        allowed="above 0 and up to 10 years, for example 30 days",
    ),
]
Assumed = Annotated[
    float,
    quantity_field(
        "a time or a ratio",
        "s",
        "ratio",
        low=0,
        above=True,
        high=10 * SECONDS_PER_YEAR,
        allowed="above 0, for example 3 days",
    ),
]
Share = Annotated[float, quantity_field("a share", "ratio", low=0, high=1, allowed="0% to 100%, for example 20%")]
Growth = Annotated[
    float, quantity_field("a growth per month", "ratio", low=-0.5, high=1, allowed="-50% to 100%, for example 5%")
]
Peak = Annotated[float, quantity_field("a ratio", "ratio", low=1, high=1000, allowed="1 to 1000, for example 2.5")]
Pue = Annotated[float, quantity_field("a ratio", "ratio", low=1, high=5, allowed="1 to 5, for example 1.2")]
Multiplier = Annotated[float, quantity_field("a ratio", "ratio", low=1, high=100, allowed="1 to 100, for example 3")]
Percentile = Annotated[float, quantity_field("a percentile", "", low=1, high=99.9, allowed="1 to 99.9, for example 95")]
Points = Annotated[
    float,
    quantity_field("a score", "ratio", "elo", "point", low=-1e6, high=1e6, allowed="a number, for example 1340 or 62%"),
]
People = Annotated[
    float,
    quantity_field("a number of people", "person", low=0, high=10_000, allowed="0 to 10000, for example 0.5"),
]
Usd = Annotated[
    float,
    quantity_field("an amount of money", "usd", low=0, high=1e12, allowed="0 to 1e12 USD, for example 20000 USD"),
]
Tokens = Annotated[
    float,
    quantity_field(
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
    quantity_field(
        "a number of requests per day",
        "request_per_s",
        low=0,
        above=True,
        high=1e12,
        scale=SECONDS_PER_DAY,
        allowed="above 0 and up to 1e12, for example 20000 or 40M requests/month",
    ),
]
UsdPerToken = Annotated[
    float,
    quantity_field(
        "a price of tokens",
        "usd_per_token",
        low=0,
        high=0.01,
        allowed="0 to 10000 USD/Mtoken, for example 0.60 USD/Mtoken",
    ),
]
UsdPerDevice = Annotated[
    float,
    quantity_field(
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
    quantity_field(
        "a price of electricity",
        "usd_per_j",
        low=0,
        high=10 / JOULES_PER_KWH,
        allowed="0 to 10 USD/kWh, for example 0.08 USD/kWh",
    ),
]
GridIntensity = Annotated[
    float,
    quantity_field(
        "a grid intensity",
        "kgco2e_per_j",
        low=0,
        high=3 / JOULES_PER_KWH,
        allowed="0 to 3000 gCO2e/kWh, for example 300 gCO2e/kWh",
    ),
]
Salary = Annotated[
    float,
    quantity_field(
        "the yearly cost of an engineer",
        "usd_per_s",
        low=0,
        high=1e7 / SECONDS_PER_YEAR,
        allowed="0 to 1e7 USD/year, for example 250000 USD/year",
    ),
]
