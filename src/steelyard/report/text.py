"""Values as people read them: one wording for every format."""

from __future__ import annotations

import math
from collections.abc import Iterable

from steelyard.compare.result import ROUTES, TOO_CLOSE, Comparison, Quantity, Verdict
from steelyard.economics import RentalPrice
from steelyard.records.estimate import Estimate
from steelyard.units import format_number, format_quantity, rounded

EVIDENCE = {"predicted": "p", "measured": "m", "cited": "c", "stated": "s", "assumed": "a"}
MEANING = {
    "p": "predicted by the model of work",
    "m": "measured",
    "c": "cited from a source",
    "s": "stated in the scenario",
    "a": "assumed",
}
RANGE_NOTE = "value (p10 to p90 over the seeded draws)"
_MONEY = {"usd": "USD", "usd_per_month": "USD/month"}
_COUNTED = {  # scores and counts keep four digits; one of them, several
    "elo": ("Elo", "Elo"),
    "point": ("point", "points"),
    "device": ("device", "devices"),
    "model": ("model", "models"),
}
_NAMED = {"person": ("person", "people"), "failure": ("failure", "failures")}
NARROW_RATIO = 0.1  # a range within this share of its median is shown to three digits, else to two


def clean(text: str) -> str:
    """Return text on one line without control characters, which a name in a scenario may hold."""
    return "".join(letter if letter.isprintable() else " " for letter in text)


def compact(value: float) -> str:
    """Return a number with k, M or B from 10,000 on, as people write money.

    Example:
        >>> compact(9400.0), compact(41_000.0), compact(9.6e6)
        ('9,400', '41k', '9.6M')
    """
    for scale, letter in ((1e9, "B"), (1e6, "M"), (1e3, "k")):
        if scale <= abs(value) < math.inf and abs(value) >= 1e4:
            return format_number(value / scale) + letter
    return format_number(value)


def amount(value: float, unit: str, digits: int = 3) -> str:
    """Return one value with its unit; of money, large sums short; of pure ratios, small ones as a fraction.

    Example:
        >>> amount(0.2149, "s", 2), amount(12_340.0, "usd_per_month"), amount(2.345, "1"), amount(0.0125, "1")
        ('210 ms', '12.3k USD/month', '2.35x', '1/80')
        >>> amount(8.2e-5, "usd_per_request"), amount(370.0, "j_per_request"), amount(1.0, "device")
        ('0.082 USD/krequest', '370 J/request', '1 device')
        >>> amount(0.8894, "failure", 2), amount(0.5, "person"), amount(2.9 / 3600, "usd_per_device_s", 2)
        ('0.89 failures', '0.5 people', '2.9 USD/device-h')
    """
    if unit == "1":
        return _times(value, digits)
    if unit in _COUNTED:
        return f"{format_number(value, 4)} {_COUNTED[unit][0 if value == 1 else 1]}"
    if unit in _NAMED:
        return f"{format_number(value, digits)} {_NAMED[unit][0 if value == 1 else 1]}"
    if unit in _MONEY and math.isfinite(value):
        return f"{compact(rounded(value, digits))} {_MONEY[unit]}"
    if unit == "usd_per_request":  # always per thousand, so that routes a thousandfold apart compare at a glance
        return f"{format_number(value * 1e3, digits)} USD/krequest"
    shown = format_quantity(value, unit, digits)
    return shown.replace(" j/", " J/")


def _times(ratio: float, digits: int) -> str:
    if 0 < abs(ratio) < 0.1 and math.isfinite(1 / ratio):
        return f"1/{compact(rounded(1 / ratio, digits))}"
    return f"{compact(rounded(ratio, digits))}x"


def span(low: float, mid: float, high: float, unit: str) -> tuple[str, str]:
    """Return a value with its unit, and its range in the same unit ("" when it has no width).

    Example:
        >>> span(0.9, 1.234, 1.6, "usd")
        ('1.2 USD', '0.9 to 1.6')
        >>> span(0.09, 1.2, 4.0, "s")
        ('1.2 s', '90 ms to 4 s')
    """
    narrow = not math.isfinite(high - low) or abs(high - low) <= NARROW_RATIO * abs(mid)
    shown = [amount(value, unit, 3 if narrow else 2) for value in (low, mid, high)]
    if shown[0] == shown[2]:
        return amount(mid, unit), ""
    numbers, units = zip(*(_number_and_unit(text) for text in shown), strict=True)
    if units[0] != units[2]:
        return shown[1], f"{shown[0]} to {shown[2]}"
    return shown[1], f"{numbers[0]} to {numbers[2] if units[1] == units[2] else shown[2]}"


def _number_and_unit(shown: str) -> tuple[str, str]:
    """Split a value from its unit, that of one device being that of several."""
    number, _, unit = shown.partition(" ")
    return number, unit.removesuffix("s") if len(unit) > 3 else unit


def parts(estimate: Estimate, unit: str) -> tuple[str, str]:
    """Return the median of an estimate with its unit, and its p10 to p90."""
    return span(estimate.p10, estimate.p50, estimate.p90, unit)


def ranged(estimate: Estimate | None, unit: str) -> str:
    """Return a value with its range, `1.2 USD (0.9 to 1.6)`; a dash when there is none."""
    return "-" if estimate is None else joined(*parts(estimate, unit))


def joined(value: str, spread: str) -> str:
    """Return a value and its range on one line."""
    return f"{value} ({spread})" if spread else value


def rent(price: RentalPrice) -> str:
    """Return what a device costs and whose prices those are."""
    low, mid, high = price.low_usd_per_device_s, price.usd_per_device_s, price.high_usd_per_device_s
    return f"rent of {price.device_id}: {joined(*span(low, mid, high, 'usd_per_device_s'))}; {price.kind}, {price.note}"


def quantity(item: Quantity) -> str:
    """Return a quantity with its range and the letter of its evidence; why, where it has no value."""
    if item.value is None:
        return clean(item.note) or "unknown"
    return f"{ranged(item.value, item.unit)} {letter(item)}"


def letter(item: Quantity) -> str:
    """Return the mark of where a quantity comes from."""
    return f"[{EVIDENCE[item.evidence]}]"


def briefly(item: Quantity) -> str:
    """Return why a quantity has no value, in as few words as a table's cell takes."""
    return clean(item.note).partition(":")[0] or "unknown"


def title(route: str) -> str:
    """Return a route or activity as a heading: `hosted finetune`."""
    return clean(route).replace("_", " ")


def winner(verdict: Verdict) -> str:
    """Return who wins, and in which share of the draws."""
    if not verdict.winner:
        return "nobody"
    if verdict.probability is None or verdict.winner == TOO_CLOSE:
        return title(verdict.winner)
    # A finite number of draws never shows certainty.
    share = "over 99%" if verdict.probability > 0.99 else f"{verdict.probability:.0%}"
    return f"{title(verdict.winner)} ({share} of draws)"


def routes(comparison: Comparison) -> list[str]:
    """Return the routes that were considered, in their usual order."""
    considered = {summary.route for summary in comparison.summaries if summary.option or summary.first_month_usd}
    return [route for route in ROUTES if route in considered]


def legend(marks: Iterable[str] = MEANING) -> str:
    """Return what the letters behind values mean."""
    return ", ".join(f"[{mark}] {MEANING[mark]}" for mark in marks)


def later_month(months: int) -> str:
    """Return the heading of the later of the two months shown: a year from now, where the horizon reaches it."""
    return "A month in a year" if months >= 12 else f"A month in month {months}"
