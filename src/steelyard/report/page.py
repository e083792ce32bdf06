"""One HTML file for any answer: nothing is fetched, every word is escaped, plots are drawn by Plotly on the page."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from html import escape as _escape
from importlib import resources

from steelyard import __version__
from steelyard.records.term import Term
from steelyard.report import explain, text
from steelyard.report.json_document import source_record
from steelyard.report.plot import Figure

# The page may run its own scripts and styles and nothing else: a browser refuses any request to a host.
POLICY = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data: blob:"


def page(title: str, body: Iterable[str], plots: Mapping[str, Figure]) -> str:
    """Return a page; it opens offline and prints.

    Args:
        title: Of the window.
        body: Lines of HTML, with a `plot_place` for each plot.
        plots: By their id.
    """
    from plotly.offline import get_plotlyjs

    drawn = json.dumps(plots, allow_nan=False).replace("<", "\\u003c")
    inside = "\n".join(body)
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{POLICY}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{esc(title)}</title>
<style>
{own("page.css")}</style>
</head>
<body>
{inside}
<script type="application/json" id="plots">{drawn}</script>
<script>{get_plotlyjs() if plots else ""}</script>
<script>
{own("page.js")}</script>
</body>
</html>
"""


def esc(words: str) -> str:
    """Return text as HTML shows it, whatever it holds."""
    return _escape(text.clean(words))


def own(name: str) -> str:
    """Return a file of the page: its style or its script."""
    return (resources.files("steelyard.report") / name).read_text(encoding="utf-8")


def drawn(name: str, heading: str, words: str = "", *, level: int = 2) -> str:
    """Return a heading, a sentence and the place where the plot with this id is drawn; print keeps them together."""
    told = f"<p>{esc(words)}</p>" if words else ""
    place = f'<div class="plot" id="{esc(name)}"></div>'
    return f"<section class='drawn'><h{level}>{esc(heading)}</h{level}>{told}{place}</section>"


def table(headings: Iterable[str], rows: Iterable[str]) -> Iterator[str]:
    """Yield a table whose rows are HTML."""
    head = "".join(f"<th scope='col'>{esc(heading)}</th>" for heading in headings)
    yield f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>'
    yield from rows
    yield "</tbody></table></div>"


def row(heading: str, cells: Iterable[str], style: str = "") -> str:
    """Return a row; heading and cells are HTML."""
    return f'<tr class="{style}"><th scope="row">{heading}</th>{"".join(cells)}</tr>'


def cell(inner: str, label: str, *, style: str = "", behind: str = "") -> str:
    """Return a cell of HTML; `label` is its column, which a narrow screen shows beside it, `behind` more attributes."""
    return f'<td class="{style}" data-label="{esc(label)}"{behind}>{inner}</td>'


def trees(heading: str, found: Iterable[tuple[str, Term]]) -> Iterator[str]:
    """Yield trees of terms under a heading; on paper only those that are open."""
    yield f'<section class="trees"><h2>{esc(heading)}</h2>'
    yield from (folded(name, tree) for name, tree in found)
    yield "</section>"


def folded(heading: str, tree: Term) -> str:
    """Return a tree of terms that opens when its heading is clicked."""
    return f"<details><summary>{esc(heading)}</summary>{tree_list(tree)}</details>"


def tree_list(tree: Term) -> str:
    """Return a tree of terms as nested lists: label, value, unit, formula, source."""
    return f'<ul class="tree">{_term(tree)}</ul>'


def _term(term: Term) -> str:
    formula = f'<span class="why">= {esc(term.formula)}</span>' if term.formula else ""
    source = (
        f'<span class="why" data-source="{esc(term.source)}">source: {esc(term.source)}</span>' if term.source else ""
    )
    below = f"<ul>{''.join(_term(child) for child in term.children)}</ul>" if term.children else ""
    return f"<li>{esc(explain.label(term))}{formula}{source}{below}</li>"


def listed(sentences: Iterable[str]) -> str:
    """Return sentences as a list."""
    return f'<ul class="plain">{"".join(f"<li>{esc(line)}</li>" for line in sentences)}</ul>'


def notes(lists: Iterable[tuple[str, Iterable[str]]], sources: Iterable[str]) -> Iterator[str]:
    """Yield lists under headings, those that hold something, and last the sources spelt out."""
    for heading, lines in (*lists, ("Sources", [source_line(name) for name in sources])):
        if items := list(lines):
            yield f"<h2>{heading}</h2>{listed(items)}"


def footer(words: str) -> str:
    """Return the end of a page."""
    return f"<footer>{esc(words)}<br>steelyard {esc(__version__)}</footer>"


def source_line(name: str) -> str:
    """Return a source spelt out: id, title, publisher, address, day, licence."""
    about = source_record(name)
    parts = [about.get(key, "") for key in ("title", "publisher", "url", "retrieved", "licence")]
    return ", ".join(part for part in (name, *parts) if part)
