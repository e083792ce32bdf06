"""Fields of a document: they take friendly quantities and refuse everything else in plain words."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator

from steelyard.records.spec import shown
from steelyard.units import parse_quantity


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


def quantity_field(what: str, *suffixes: str, **limits: Any) -> BeforeValidator:
    """Return the validator of a field that holds a friendly quantity (arguments as `quantity`)."""
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


def text(value: object) -> str:
    """Return a name a user wrote, stripped."""
    if not isinstance(value, str):
        raise ValueError(f"{shown(value)} is not a name; allowed: text")  # noqa: TRY004
    if not value.strip() or len(value) > 300:
        raise ValueError(f"{shown(value)} is not a name; allowed: 1 to 300 characters")
    return value.strip()


Text = Annotated[str, BeforeValidator(text)]
