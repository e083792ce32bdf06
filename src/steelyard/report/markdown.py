"""The comparison as Markdown: the same tables as the terminal, with every value of every cell."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence

from steelyard.compare.result import Cell, Comparison, Quantity, Verdict
from steelyard.records.term import Term
from steelyard.report import explain, text
from steelyard.report.json_document import source_record

_SPECIAL = re.compile(r"([\\`*_\[\]<>|#~])")


def render(comparison: Comparison) -> str:
    """Return the comparison as a Markdown document."""
    return "\n".join(_lines(comparison)) + "\n"


def escape(words: str) -> str:
    """Return text that Markdown shows as it stands.

    Example:
        >>> escape("reserved_1y | <b>")
        'reserved\\\\_1y \\\\| \\\\<b\\\\>'
    """
    return _SPECIAL.sub(r"\\\1", text.clean(words))


def _lines(comparison: Comparison) -> Iterator[str]:
    yield f"# {escape(comparison.title)}"
    yield from ("", escape(comparison.outcome), "", "## The answer", "", escape(comparison.advice))
    yield from ("", "## What you pay and need", "")
    yield from _summaries(comparison)
    yield from ("", "## Inference against training", "")
    yield from _activities(comparison)
    yield from ("", "## The routes, factor by factor", "")
    yield from _routes(comparison)
    yield from ("", "## Cheapest route by load", "", escape(comparison.break_even.sentence))
    for heading, items in (
        ("Assumed", comparison.assumptions),
        ("Not modelled", comparison.not_modelled),
        ("Warnings", comparison.warnings),
    ):
        if items:
            yield from ("", f"## {heading}", "", *(f"- {escape(item)}" for item in items))
    yield from ("", "## How the numbers came about", "")
    for factor in comparison.factors:
        yield from (f"### {escape(factor.title)}", "", "```text", *_fenced(factor.tree), "```", "")
    yield from ("## Sources", "", *(f"- {source(name)}" for name in comparison.sources), "")
    yield f"Ranges are p10 to p90 over the seeded draws. {escape(text.legend())}."


def table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    """Yield a table; headings and cells are Markdown."""
    yield "| " + " | ".join(headings) + " |"
    yield "|" + " --- |" * len(headings)
    for row in rows:
        yield "| " + " | ".join(row) + " |"


def rows_table(rows: Sequence[Mapping[str, str]]) -> Iterator[str]:
    """Yield rows of the same columns as a table."""
    yield from table(tuple(rows[0]), ([escape(cell) for cell in row.values()] for row in rows))


def _summaries(comparison: Comparison) -> Iterator[str]:
    shown = [item for item in comparison.summaries if item.route in text.routes(comparison)]
    months = max((len(item.monthly_usd) for item in shown), default=0)
    money = ("A month now", text.later_month(months), "Before the first answer", f"All {months} months")
    yield from table(
        ("Route", "Option", *money, "Quality", "To rent or buy", "In the running"),
        (
            (
                text.title(item.route),
                escape(item.option) or "-",
                *(
                    text.ranged(value, "usd")
                    for value in (item.first_month_usd, item.in_a_year_usd, item.upfront_usd, item.total_usd)
                ),
                escape(text.quantity(item.quality)),
                escape(item.to_rent_or_buy) or "-",
                "yes" if item.in_running else f"no: {escape(item.why_not)}",
            )
            for item in shown
        ),
    )


def _activities(comparison: Comparison) -> Iterator[str]:
    yield from table(
        ("Factor", "Inference", "Training", "Ratio", "Verdict"),
        (
            (
                escape(factor.title),
                _cell(factor.activities.get("inference")),
                _cell(factor.activities.get("training")),
                "-" if factor.ratio is None else escape(text.quantity(factor.ratio)),
                _verdict(factor.activity_verdict, factor.crossover),
            )
            for factor in comparison.factors
        ),
    )


def _routes(comparison: Comparison) -> Iterator[str]:
    routes = text.routes(comparison)
    yield from table(
        ("Factor", *(text.title(route) for route in routes), "Best"),
        (
            (
                escape(factor.title),
                *(_cell(factor.routes.get(route)) for route in routes),
                _verdict(factor.route_verdict),
            )
            for factor in comparison.factors
        ),
    )


def _cell(cell: Cell | None) -> str:
    if cell is None:
        return "-"
    return "<br>".join([*map(_item, cell.quantities), *([escape(cell.note)] if cell.note else [])])


def _item(item: Quantity) -> str:
    note = f" ({escape(item.note)})" if item.note and item.value is not None else ""
    return f"{escape(item.label)}: {escape(text.quantity(item))}{note}"


def _verdict(verdict: Verdict, crossover: str = "") -> str:
    lines = [f"**{escape(text.winner(verdict))}**: {escape(verdict.criterion)}"]
    return "<br>".join([*lines, *(escape(line) for line in (verdict.because, crossover) if line)])


def source(name: str) -> str:
    """Return a source spelt out."""
    about = source_record(name)
    parts = [about.get(key, "") for key in ("title", "publisher", "url", "retrieved", "licence")]
    return ", ".join(escape(part) for part in (name, *parts) if part)


def _fenced(tree: Term) -> Iterator[str]:
    """Yield the lines of a tree, none of which can end the block they stand in."""
    return (line.replace("```", "'''") for line in explain.lines(tree))
