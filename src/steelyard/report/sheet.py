"""An answer as every form shows it: said once as words, tables, lists and plots, then rendered.

A command builds one `Sheet`; `render` turns it into text for a terminal, Markdown or an HTML page, beside the JSON
document and the trees of terms. Plots are drawn only where they are shown.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from steelyard.records.term import Term
from steelyard.report import explain as trees
from steelyard.report import markdown
from steelyard.report.json_document import dump
from steelyard.report.listing import table
from steelyard.report.plain import bullets, heading
from steelyard.report.plot import Figure
from steelyard.report.text import clean

Row = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Words:
    """Sentences, each on a line of its own."""

    lines: Sequence[str]


@dataclass(frozen=True, slots=True)
class Rows:
    """A table; the names of its columns are the keys."""

    rows: Sequence[Row]


@dataclass(frozen=True, slots=True)
class Bullets:
    """Sentences as a list."""

    sentences: Sequence[str]


@dataclass(frozen=True, slots=True)
class Plot:
    """A plot under its own heading, drawn when a page shows it; None where there is nothing to draw."""

    heading: str
    draw: Callable[[], Figure | None]


Part = Words | Rows | Bullets | Plot


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """Parts under a heading; a part of it after a colon is the section's result."""

    heading: str
    parts: Sequence[Part]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sheet:
    """What a command has to say: its title, the lines that state the question, and sections."""

    title: str
    asked: Sequence[str]
    sections: Sequence[Section]
    trees: Mapping[str, Term] = field(default_factory=dict)
    sources: Sequence[str] = ()
    warnings: Sequence[str] = ()


def render(
    sheet: Sheet,
    *,
    form: str | None,
    document: Callable[[], Mapping[str, Any]],
    explain: bool = False,
    width: int | None = None,
) -> str:
    """Return an answer as text, as "json" (its `document`), "markdown" or "html", or the trees behind it."""
    if form == "json":
        return dump(document())
    if form == "html":
        from steelyard.report.sheet_page import page_of

        return page_of(sheet)
    if explain:
        lines = _tree_lines(sheet)
    elif form == "markdown":
        lines = _markdown(sheet)
    else:
        lines = _text(sheet, width)
    return "\n".join(lines) + "\n"


def _text(sheet: Sheet, width: int | None) -> Iterator[str]:
    yield clean(sheet.title)
    yield from map(clean, sheet.asked)
    for section in sheet.sections:
        shown = [line for part in section.parts for line in _text_part(part, width)]
        if shown:
            yield from (*heading(clean(section.heading)), *shown)


def _text_part(part: Part, width: int | None) -> Iterator[str]:
    if isinstance(part, Words):
        yield from map(clean, part.lines)
    elif isinstance(part, Rows):
        yield table(part.rows, width=width).rstrip()
    elif isinstance(part, Bullets):
        yield from bullets(part.sentences, width)


def _markdown(sheet: Sheet) -> Iterator[str]:
    yield f"# {markdown.escape(sheet.title)}"
    for line in sheet.asked:
        yield from ("", markdown.escape(line))
    for section in sheet.sections:
        shown = [line for part in section.parts for line in _markdown_part(part)]
        if shown:
            yield from ("", f"## {markdown.escape(section.heading)}", *shown)
    for name, items in (("Warnings", sheet.warnings), ("Sources", [markdown.source(one) for one in sheet.sources])):
        if items:
            said = map(markdown.escape, items) if name == "Warnings" else items
            yield from ("", f"## {name}", "", *(f"- {item}" for item in said))


def _markdown_part(part: Part) -> Iterator[str]:
    if isinstance(part, Words):
        for line in part.lines:
            yield from ("", markdown.escape(line))
    elif isinstance(part, Rows) and part.rows:
        columns = columns_of(part.rows)
        cells = ([markdown.escape(row.get(name, "")) for name in columns] for row in part.rows)
        yield from ("", *markdown.table([markdown.escape(name) for name in columns], cells))
    elif isinstance(part, Bullets):
        yield from ("", *(f"- {markdown.escape(sentence)}" for sentence in part.sentences))


def columns_of(rows: Sequence[Row]) -> list[str]:
    """Return the columns that hold something, in their order."""
    names = dict.fromkeys(name for row in rows for name in row)
    return [name for name in names if any(row.get(name) for row in rows)]


def _tree_lines(sheet: Sheet) -> Iterator[str]:
    yield f"{clean(sheet.title)}; the median case"
    yield from map(clean, sheet.asked)
    for name, tree in sheet.trees.items():
        yield from ("", name.upper(), *trees.lines(tree))
