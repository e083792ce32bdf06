"""Quantities on the command line as people write them: 15.6T tokens, 60 days, 2.10 USD/device/h."""

from __future__ import annotations

import contextlib
import re
from datetime import date
from typing import Any

import click

_SHORT = re.compile(r"\s*([-+\d.,_eE]+?)\s*([kKMBGT]?)\s*$")  # 15.6T, 8k, 4096
_UNIT = re.compile(r"[A-Za-z$]{2}")
_LETTERS = {"K": "k", "B": "G"}


class Quantity(click.ParamType):  # type: ignore[type-arg] # generic in the newest Click only
    """A number above 0 with or without a unit, in SI; of counts also short forms (15.6T, 70B)."""

    def __init__(self, suffix: str, name: str, example: str, *, short_for: str = "", bare: bool = True) -> None:
        """Take the unit's suffix, the placeholder of the help text, an example for errors, and a unit said for it.

        `bare`: whether a number without a unit is taken, in SI.
        """
        self.suffix, self.name, self.example, self.short_for, self.bare = suffix, name, example, short_for, bare

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Return the value in SI."""
        from steelyard.units import parse_quantity  # the list of all commands stays light

        text = str(value)
        short = _SHORT.match(text) if self.suffix == "token" else None
        if short:
            text = f"{short[1]} {_LETTERS.get(short[2], short[2])}tokens"
        try:
            number = parse_quantity(text, self._suffix_of(text))
        except ValueError as error:
            self.fail(f"{error}; for example {self.example}", param, ctx)
        if not self.bare and not _UNIT.search(text):
            self.fail(f"{text[:40]!r} has no unit; for example {self.example}", param, ctx)
        if number <= 0:
            self.fail(f"{text[:40]!r} is not above 0; for example {self.example}", param, ctx)
        return number

    def _suffix_of(self, text: str) -> str:
        """Return the unit to read a text in: the shorter one that people say, where it is in that."""
        from steelyard.units import parse_quantity

        if self.short_for:
            with contextlib.suppress(ValueError):
                parse_quantity(text, self.short_for)
                return self.short_for
        return self.suffix


class Numbers(click.ParamType):  # type: ignore[type-arg]
    """Whole numbers from 1 on, separated by commas."""

    name = "N[,N...]"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, ...]:
        """Return the numbers."""
        if isinstance(value, tuple):
            return value
        parts = [part.strip().replace("_", "") for part in str(value).split(",")]
        if not all(part.isascii() and part.isdecimal() and len(part) <= 18 for part in parts):
            self.fail(f"{str(value)[:40]!r} is not a list of whole numbers; for example 512,1024", param, ctx)
        return tuple(int(part) for part in parts)


class Day(click.ParamType):  # type: ignore[type-arg]
    """A day of the calendar."""

    name = "DATE"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> date:
        """Return the day."""
        try:
            return value if isinstance(value, date) else date.fromisoformat(str(value))
        except ValueError:
            self.fail(f"{str(value)[:40]!r} is not a day; allowed: YYYY-MM-DD", param, ctx)


class DevicePrices(click.ParamType):  # type: ignore[type-arg]
    """A device and the user's own price of it."""

    name = "DEVICE=PRICE"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, float]:
        """Return the device as named, and its price [USD/s]."""
        if isinstance(value, tuple):
            return value
        name, sign, price = str(value).partition("=")
        if not (sign and name.strip()):
            self.fail(f"{str(value)[:40]!r} is not DEVICE=PRICE; for example 'h100=2.10 USD/device/h'", param, ctx)
        return name.strip(), DEVICE_PRICE.convert(price.strip(), param, ctx)


class ReplicaRange(click.ParamType):  # type: ignore[type-arg]
    """The least and most replicas of an autoscaled fleet."""

    name = "LEAST:MOST"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, int]:
        """Return both."""
        if isinstance(value, tuple):
            return value
        least, _, most = str(value).partition(":")
        if not (least.isdecimal() and most.isdecimal()):
            self.fail(f"{str(value)[:40]!r}: allowed: LEAST:MOST replicas, such as 2:8", param, ctx)
        return int(least), int(most)


DAY = Day()
TOKENS = Quantity("token", "TOKENS", "15.6T")
DURATION = Quantity("s", "TIME", "'60 days'")
SIZE = Quantity("bytes", "SIZE", "'5 GB'")
LATENCY = Quantity("s", "TIME", "200ms")
SHARE = Quantity("ratio", "SHARE", "80%")
DEVICE_PRICE = Quantity("usd_per_device_s", "PRICE", "'2.10 USD/device/h'", short_for="usd_per_s", bare=False)
DEVICE_PRICES = DevicePrices()
FLOP_RATE = Quantity("flop_per_s", "RATE", "'90 GFLOP/s'")
NATS = Quantity("nat", "NATS", "2.5")
RATE = Quantity("request_per_s", "RATE", "'5 requests/s'")
NUMBERS = Numbers()
REPLICA_RANGE = ReplicaRange()
