"""The comparison as one HTML file with plots: nothing is fetched, every word is escaped."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from html import escape as _escape
from importlib import resources

from steelyard import __version__
from steelyard.compare.result import Cell, Comparison, Quantity, Verdict
from steelyard.records.estimate import Estimate
from steelyard.records.term import Term
from steelyard.report import explain, text
from steelyard.report.figures import Figure, figures
from steelyard.report.json_document import source_record

# The page may run its own scripts and styles and nothing else: a browser refuses any request to a host.
POLICY = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data: blob:"

PLOTS = {  # id -> heading
    "cost-by-load": "Cost against load",
    "cumulative-cost": "What each route has cost by the end of each month",
    "total-cost": "Total cost",
}


def render(comparison: Comparison) -> str:
    """Return the page; it opens offline and prints."""
    drawn = figures(comparison)
    body = "\n".join(_body(comparison, [name for name in PLOTS if name in drawn]))
    return page(f"{comparison.title}: inference against training", body, drawn)


def page(title: str, body: str, plots: Mapping[str, Figure]) -> str:
    """Return a whole page with its plots, drawn in the places of the body that bear their ids."""
    from plotly.offline import get_plotlyjs

    drawn = json.dumps(plots, allow_nan=False).replace("<", "\\u003c")
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{POLICY}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{esc(title)}</title>
<style>
{_own("page.css")}</style>
</head>
<body>
{body}
<script type="application/json" id="plots">{drawn}</script>
<script>{get_plotlyjs()}</script>
<script>
{_own("page.js")}</script>
</body>
</html>
"""


def esc(words: str) -> str:
    """Return text as HTML shows it, whatever it holds."""
    return _escape(text.clean(words))


def _own(name: str) -> str:
    return (resources.files("steelyard.report") / name).read_text(encoding="utf-8")


def _body(comparison: Comparison, plots: list[str]) -> Iterator[str]:
    yield f"<h1>{esc(comparison.title)}</h1>"
    yield f'<p class="outcome">{esc(comparison.outcome)}</p>'
    yield f'<section class="answer"><p>{esc(comparison.advice)}</p></section>'
    yield "<h2>What you pay and need</h2>"
    yield from _summaries(comparison)
    if "cost-by-load" in plots:
        yield from (f"<h2>{PLOTS['cost-by-load']}</h2>", f"<p>{esc(comparison.break_even.sentence)}</p>")
        yield '<div class="plot" id="cost-by-load"></div>'
    yield '<div class="two">'
    for name in plots:
        if name != "cost-by-load":
            yield f'<section><h2>{PLOTS[name]}</h2><div class="plot" id="{name}"></div></section>'
    yield "</div>"
    yield "<h2>Inference against training</h2>"
    yield from _activities(comparison)
    yield "<h2>The routes, factor by factor</h2>"
    yield from _routes(comparison)
    yield "<h2>How the numbers came about</h2>"
    for factor in comparison.factors:
        tree = f'<ul class="tree">{term_item(factor.tree)}</ul>'
        yield f"<details><summary>{esc(factor.title)}</summary>{tree}</details>"
    yield from _notes(comparison)


def _notes(comparison: Comparison) -> Iterator[str]:
    for heading, lines in (
        ("Assumed", comparison.assumptions),
        ("Not modelled", comparison.not_modelled),
        ("Warnings", comparison.warnings),
        ("Sources", [source(name) for name in comparison.sources]),
    ):
        if lines:
            items = "".join(f"<li>{esc(line)}</li>" for line in lines)
            yield f'<h2>{heading}</h2><ul class="plain">{items}</ul>'
    yield f"<footer>Ranges are p10 to p90 over the seeded draws. {esc(text.legend())}."
    yield f"<br>steelyard {esc(__version__)}</footer>"


def source(name: str) -> str:
    about = source_record(name)
    parts = [about.get(key, "") for key in ("title", "publisher", "url", "retrieved", "licence")]
    return ", ".join(part for part in (name, *parts) if part)


def table(headings: Iterable[str], rows: Iterable[str]) -> Iterator[str]:
    head = "".join(f"<th scope='col'>{esc(heading)}</th>" for heading in headings)
    yield f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>'
    yield from rows
    yield "</tbody></table></div>"


def row(heading: str, cells: Iterable[str], style: str = "") -> str:
    return f'<tr class="{style}"><th scope="row">{heading}</th>{"".join(cells)}</tr>'


def _summaries(comparison: Comparison) -> Iterator[str]:
    shown = [item for item in comparison.summaries if item.route in text.routes(comparison)]
    months = max((len(item.monthly_usd) for item in shown), default=0)
    money = ("A month now", text.later_month(months), "Before the first answer", f"All {months} months")
    rows = []
    for item in shown:
        option = f'<span class="label">{esc(item.option)}</span>'
        out = "" if item.in_running else f'<p class="no">out of the running: {esc(item.why_not)}</p>'
        spent = (item.first_month_usd, item.in_a_year_usd, item.upfront_usd, item.total_usd)
        cells = [
            *(f'<td class="money">{estimate(value, "usd")}</td>' for value in spent),
            f"<td>{_quantity(item.quality)}</td>",
            f"<td>{esc(item.to_rent_or_buy) or '-'}</td>",
        ]
        rows.append(row(esc(text.title(item.route)) + option + out, cells, "" if item.in_running else "out"))
    yield from table(("Route", *money, "Quality", "To rent or buy"), rows)


def _activities(comparison: Comparison) -> Iterator[str]:
    yield from table(
        ("Factor", "Inference", "Training", "Ratio", "Verdict"),
        (
            row(
                esc(factor.title),
                (
                    _cell(factor.activities.get("inference")),
                    _cell(factor.activities.get("training")),
                    f"<td>{'-' if factor.ratio is None else _quantity(factor.ratio)}</td>",
                    _verdict(factor.activity_verdict, factor.crossover),
                ),
            )
            for factor in comparison.factors
        ),
    )


def _routes(comparison: Comparison) -> Iterator[str]:
    routes = text.routes(comparison)
    rows = []
    for factor in comparison.factors:
        best = factor.route_verdict.winner
        cells = [_cell(factor.routes.get(route), best=route == best) for route in routes]
        rows.append(row(esc(factor.title) + _judged(factor.route_verdict), cells))
    yield from table(("Factor and best route", *(text.title(route) for route in routes)), rows)


def _cell(cell: Cell | None, *, best: bool = False) -> str:
    if cell is None:
        return "<td>-</td>"
    items = [f'<p><span class="label">{esc(item.label)}</span>{_quantity(item)}</p>' for item in cell.quantities]
    note = f'<p class="why">{esc(cell.note)}</p>' if cell.note else ""
    return f'<td class="{"best" if best else ""}">{"".join(items)}{note}</td>'


def _quantity(item: Quantity) -> str:
    if item.value is None:
        return f'<span class="why">{esc(item.note) or "unknown"}</span>'
    mark = f'<span class="evidence" title="{item.evidence}">{text.EVIDENCE[item.evidence]}</span>'
    note = f' <span class="why">{esc(item.note)}</span>' if item.note else ""
    return estimate(item.value, item.unit) + mark + note


def estimate(value: Estimate | None, unit: str) -> str:
    if value is None:
        return "-"
    mid, spread = text.parts(value, unit)
    between = f' <span class="range">({esc(spread)})</span>' if spread else ""
    return f'<span class="value">{esc(mid)}</span>{between}'


def _verdict(verdict: Verdict, crossover: str = "") -> str:
    return f"<td>{_judged(verdict, crossover)}</td>"


def _judged(verdict: Verdict, crossover: str = "") -> str:
    why = "".join(f'<p class="why">{esc(line)}</p>' for line in (verdict.because, crossover) if line)
    winner = f'<span class="winner">{esc(text.winner(verdict))}</span>'
    return f'<p class="judged">{winner}: {esc(verdict.criterion)}</p>{why}'


def term_item(term: Term) -> str:
    formula = f'<span class="why">= {esc(term.formula)}</span>' if term.formula else ""
    source = f'<span class="why">source: {esc(term.source)}</span>' if term.source else ""
    below = f"<ul>{''.join(term_item(child) for child in term.children)}</ul>" if term.children else ""
    return f"<li>{esc(explain.label(term))}{formula}{source}{below}</li>"
