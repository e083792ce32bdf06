"""Options that take a number with its unit: `200ms`, `2min`."""

from __future__ import annotations

from collections.abc import Callable

import click


def quantity(suffix: str) -> Callable[[str], float]:
    """Return a type of option: a positive quantity of this SI suffix, in SI."""

    def parse(text: str) -> float:
        from steelyard.units import parse_quantity  # the list of all commands stays light

        try:
            found = parse_quantity(text, suffix)
        except ValueError as error:
            raise click.BadParameter(str(error)) from None
        if not found > 0:
            raise click.BadParameter(f"{text!r} is not above 0")
        return found

    parse.__name__ = {"s": "time", "bytes": "size"}.get(suffix, "number")  # how help pages call it
    return parse
