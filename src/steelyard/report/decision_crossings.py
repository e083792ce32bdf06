"""Where two routes of a decision cost the same: sentences on load and date, a table of what is set against the API."""

from __future__ import annotations

from collections.abc import Iterator

from steelyard.decide.result import Crossing, Decision
from steelyard.report import text

HEADINGS = ("Route", "Of", "Costs what the API does at", "Here")


def sentences(decision: Decision) -> list[str]:
    """Return the crossings on load and date."""
    return [one.sentence for one in decision.crossings if not one.quantity]


def rows(decision: Decision) -> Iterator[tuple[str, str, str, str]]:
    """Yield a row for each crossing with the API, under `HEADINGS`; a route is named in the first of its rows."""
    above = ""
    for one in decision.crossings:
        if not one.quantity:
            continue
        route = text.title(one.left if one.right == "api" else one.right)
        yield "" if route == above else route, one.quantity, _at(one), _here(one)
        above = route


def _at(one: Crossing) -> str:
    if one.at is None:
        return "never"
    busiest = 1.0
    never = one.unit == "ratio" and one.at.p50 > busiest
    return f"never: {text.ranged(one.at, one.unit)}" if never else text.ranged(one.at, one.unit)


def _here(one: Crossing) -> str:
    return "-" if one.now is None else text.amount(one.now, one.unit, 2)
