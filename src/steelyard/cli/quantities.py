"""Options that take quantities with friendly units."""

from __future__ import annotations

from collections.abc import Callable

import click

from steelyard.units import parse_quantity


def quantity(suffix: str) -> Callable[[click.Context, click.Parameter, str | None], float | None]:
    """Return the callback of an option that takes a number with a unit, in the SI unit named by `suffix`."""

    def parsed(ctx: click.Context, param: click.Parameter, value: str | None) -> float | None:
        if value is None:
            return None
        try:
            return parse_quantity(value, suffix)
        except ValueError as error:
            raise click.BadParameter(str(error), ctx=ctx, param=param) from None

    return parsed
