"""A sheet as an HTML page."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from steelyard.report import page
from steelyard.report.page import esc
from steelyard.report.plot import Figure
from steelyard.report.sheet import Bullets, Part, Plot, Row, Rows, Section, Sheet, Words, columns_of

_ONE_LINE = 16  # characters


def page_of(sheet: Sheet) -> str:
    """Return the page; it opens offline and prints."""
    plots: dict[str, Figure] = {}
    body = list(_body(sheet, plots))
    return page.page(sheet.title, body, plots)


def _body(sheet: Sheet, plots: dict[str, Figure]) -> Iterator[str]:
    yield f"<h1>{esc(sheet.title)}</h1>"
    yield from (f'<p class="outcome">{esc(line)}</p>' for line in sheet.asked)
    for section in sheet.sections:
        yield from _section(section, plots)
    if sheet.trees:
        named = ((tree.label or name, tree) for name, tree in sheet.trees.items())
        yield from page.trees("How the numbers came about", named)
    yield from page.notes([("Warnings", sheet.warnings)], sheet.sources)
    yield page.footer("")


def fragment(sheet: Sheet) -> Iterator[str]:
    """Yield what a sheet says as a part of another page, without its plots."""
    yield from (f"<p>{esc(line)}</p>" for line in (sheet.title, *sheet.asked))
    for section in sheet.sections:
        if shown := [line for part in section.parts for line in _part(part)]:
            yield from (f"<h3>{esc(section.heading)}</h3>", *shown)
    yield from (page.folded(tree.label or name, tree) for name, tree in sheet.trees.items())
    yield page.listed(sheet.warnings) if sheet.warnings else ""


def plots(sheet: Sheet) -> dict[str, Figure]:
    """Return the plots of a sheet by their headings, those that have something to show."""
    held = [part for section in sheet.sections for part in section.parts if isinstance(part, Plot)]
    return {part.heading: drawn for part in held if (drawn := part.draw()) is not None}


def _section(section: Section, plots: dict[str, Figure]) -> Iterator[str]:
    """Yield a section, its plots side by side at its end; one that has nothing to show is left out."""
    shown = [line for part in section.parts for line in _part(part)]
    drawn = [
        (part.heading, figure)
        for part in section.parts
        if isinstance(part, Plot) and (figure := part.draw()) is not None
    ]
    if not shown and not drawn:
        return
    yield f"<h2>{esc(section.heading)}</h2>"
    yield from shown
    if drawn:
        yield '<div class="two">' if len(drawn) > 1 else "<div>"
        for heading, figure in drawn:
            name = f"plot-{len(plots)}"
            plots[name] = figure
            yield page.drawn(name, heading, level=3)
        yield "</div>"


def _part(part: Part) -> Iterator[str]:
    if isinstance(part, Words):
        yield from (f"<p>{esc(line)}</p>" for line in part.lines)
    elif isinstance(part, Rows) and part.rows:
        columns = columns_of(part.rows)
        yield from page.table(columns, (_row(columns, row) for row in part.rows))
    elif isinstance(part, Bullets):
        yield page.listed(part.sentences)


def _cell(words: str) -> str:
    """Return a cell; a value stays on one line with its unit."""
    return esc(words).replace(" ", "&nbsp;") if len(words) <= _ONE_LINE else esc(words)


def _row(columns: Sequence[str], row: Row) -> str:
    first, *rest = (_cell(row.get(name, "")) for name in columns)
    cells = (page.cell(inner, name) for name, inner in zip(columns[1:], rest, strict=True))
    return page.row(first, cells)
