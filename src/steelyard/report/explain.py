"""The tree of terms behind a number, as indented text."""

from __future__ import annotations

from collections.abc import Iterator

from steelyard.compare.result import Comparison
from steelyard.errors import InputError, unknown
from steelyard.records.term import Term
from steelyard.report.text import amount, clean


def render(comparison: Comparison, factor_id: str) -> str:
    """Return the tree of one factor: label, value, unit, formula, source.

    Raises:
        InputError: No such factor; names the nearest.
    """
    known = [factor.id for factor in comparison.factors]
    wanted = factor_id.strip().casefold().replace(" ", "_").replace("-", "_")
    if wanted not in known:
        raise InputError(unknown("factor", factor_id, known))
    factor = comparison.factor(wanted)
    return "\n".join([f"{factor.title}: {clean(comparison.title)}", "", *lines(factor.tree), ""])


def lines(term: Term, indent: str = "") -> Iterator[str]:
    """Yield a line for a term, one for its formula and one for its source, then its children further in."""
    yield f"{indent}{label(term)}"
    if term.formula:
        yield f"{indent}    = {clean(term.formula)}"
    if term.source:
        yield f"{indent}    source: {clean(term.source)}"
    for child in term.children:
        yield from lines(child, indent + "  ")


def label(term: Term) -> str:
    """Return a term's label and value on one line."""
    value = clean(term.value) if isinstance(term.value, str) else amount(term.value, term.unit)
    return f"{clean(term.label)}: {value}" if value else clean(term.label)
