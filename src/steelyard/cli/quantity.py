"""Options that take a number with its unit: `200ms`, `2min`."""

from __future__ import annotations

from typing import Any

import click

from steelyard.units import parse_quantity


class Quantity(click.ParamType):  # type: ignore[type-arg,unused-ignore] # generic in some releases only
    """A positive quantity; stored in SI."""

    def __init__(self, suffix: str, *, plain: bool = False) -> None:
        """Take the SI suffix; `plain` quantities are written without a unit."""
        self.suffix = suffix
        self.plain = plain
        self.name = "number" if plain else suffix

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Return the quantity in SI, or fail in one line."""
        try:
            found = parse_quantity(value, self.suffix)
        except ValueError as error:
            self.fail(str(error), param, ctx)
        if not found > 0:
            self.fail(f"{value!r} is not above 0", param, ctx)
        return found
