"""Pieces of plain text that answers are made of."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from textwrap import wrap

from steelyard.records.term import pick
from steelyard.report.text import clean
from steelyard.units import Array, format_quantity

WIDTH = 118  # off a terminal


def heading(words: str) -> tuple[str, str]:
    """Return a heading after an empty line: the part before a colon in capitals."""
    name, colon, rest = words.partition(":")
    return "", f"{name.upper()}{colon}{rest}"


def bullets(sentences: Iterable[str], width: int | None) -> Iterator[str]:
    """Yield sentences as a list, folded to a width."""
    for sentence in sentences:
        yield from wrap(clean(sentence), width or WIDTH, initial_indent="- ", subsequent_indent="  ")


def share(ratio: Array) -> str:
    """Return a share in percent.

    Example:
        >>> share(0.4213), share(0.0004)
        ('42.1%', '0.04%')
    """
    return format_quantity(middle(ratio), "ratio")


def middle(values: Array) -> float:
    """Return the one number of a result of one configuration; the median where there are several."""
    return float(pick(values))
