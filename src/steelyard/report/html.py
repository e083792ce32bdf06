"""The comparison as one HTML file with plots: nothing is fetched, every word is escaped."""

from __future__ import annotations

from collections.abc import Iterator

from steelyard.compare.result import Cell, Comparison, Quantity, Verdict
from steelyard.records.estimate import Estimate
from steelyard.report import text
from steelyard.report.figures import figures
from steelyard.report.page import cell, drawn, esc, footer, notes, page, row, table, trees

PLOTS = {  # id -> heading
    "cost-by-load": "Cost against load",
    "cumulative-cost": "What each route has cost by the end of each month",
    "total-cost": "Total cost",
}


def render(comparison: Comparison) -> str:
    """Return the page; it opens offline and prints."""
    plots = figures(comparison)
    body = _body(comparison, [name for name in PLOTS if name in plots])
    return page(f"{comparison.title}: inference against training", body, plots)


def _body(comparison: Comparison, plots: list[str]) -> Iterator[str]:
    yield f"<h1>{esc(comparison.title)}</h1>"
    yield f'<p class="outcome">{esc(comparison.outcome)}</p>'
    yield f'<section class="answer"><p>{esc(comparison.advice)}</p></section>'
    yield "<h2>What you pay and need</h2>"
    yield from summaries(comparison)
    if "cost-by-load" in plots:
        yield drawn("cost-by-load", PLOTS["cost-by-load"], comparison.break_even.sentence)
    yield '<div class="two">'
    for name in plots:
        if name != "cost-by-load":
            yield drawn(name, PLOTS[name])
    yield "</div>"
    yield "<h2>Inference against training</h2>"
    yield from activities(comparison)
    yield "<h2>The routes, factor by factor</h2>"
    yield from routes(comparison)
    yield from trees("How the numbers came about", ((factor.title, factor.tree) for factor in comparison.factors))
    lists = (
        ("Assumed", comparison.assumptions),
        ("Not modelled", comparison.not_modelled),
        ("Warnings", comparison.warnings),
    )
    yield from notes(lists, comparison.sources)
    yield footer(f"Ranges are p10 to p90 over the seeded draws. {text.legend()}.")


def summaries(comparison: Comparison) -> Iterator[str]:
    """Yield what each route costs now and later, and what it makes the user rent or buy."""
    shown = [item for item in comparison.summaries if item.route in text.routes(comparison)]
    months = max((len(item.monthly_usd) for item in shown), default=0)
    money = ("A month now", text.later_month(months), "Before the first answer", f"All {months} months")
    rows = []
    for item in shown:
        option = f'<span class="label">{esc(item.option)}</span>'
        out = "" if item.in_running else f'<p class="no">out of the running: {esc(item.why_not)}</p>'
        spent = (item.first_month_usd, item.in_a_year_usd, item.upfront_usd, item.total_usd)
        cells = [
            *(
                _td(estimate(value, "usd"), label, why="compute_cost", of=item.route, style="money")
                for label, value in zip(money, spent, strict=True)
            ),
            _td(_quantity(item.quality), "Quality", why="purpose", of=item.route),
            _td(esc(item.to_rent_or_buy) or "-", "To rent or buy"),
        ]
        rows.append(row(esc(text.title(item.route)) + option + out, cells, "" if item.in_running else "out"))
    yield from table(("Route", *money, "Quality", "To rent or buy"), rows)


def activities(comparison: Comparison) -> Iterator[str]:
    """Yield inference against training, factor by factor."""
    yield from table(
        ("Factor", "Inference", "Training", "Ratio", "Verdict"),
        (
            row(
                esc(factor.title),
                (
                    _cell(factor.activities.get("inference"), "Inference", why=factor.id, of="inference"),
                    _cell(factor.activities.get("training"), "Training", why=factor.id, of="training"),
                    _td("-" if factor.ratio is None else _quantity(factor.ratio), "Ratio", why=factor.id, of="ratio"),
                    _td(_judged(factor.activity_verdict, factor.crossover), "Verdict"),
                ),
            )
            for factor in comparison.factors
        ),
    )


def routes(comparison: Comparison) -> Iterator[str]:
    """Yield the routes, factor by factor, the best of each marked."""
    shown = text.routes(comparison)
    rows = []
    for factor in comparison.factors:
        best = factor.route_verdict.winner
        cells = [
            _cell(factor.routes.get(route), text.title(route), why=factor.id, of=route, style="best" * (route == best))
            for route in shown
        ]
        rows.append(row(esc(factor.title) + _judged(factor.route_verdict), cells))
    yield from table(("Factor and best route", *(text.title(route) for route in shown)), rows)


def _td(inner: str, label: str, *, why: str = "", of: str = "", style: str = "") -> str:
    """Return a cell: its column for narrow screens, and whose tree of which factor is behind its numbers."""
    behind = f' data-why="{esc(why)}" data-of="{esc(of)}"' if why else ""
    return cell(inner, label, style=style, behind=behind)


def _cell(shown: Cell | None, label: str, *, why: str, of: str, style: str = "") -> str:
    if shown is None:
        return _td("-", label)
    items = [f'<p><span class="label">{esc(item.label)}</span>{_quantity(item)}</p>' for item in shown.quantities]
    note = f'<p class="why">{esc(shown.note)}</p>' if shown.note else ""
    return _td("".join(items) + note, label, why=why, of=of, style=style)


def _quantity(item: Quantity) -> str:
    if item.value is None:
        return f'<span class="why">{esc(item.note) or "unknown"}</span>'
    mark = f'<span class="evidence" title="{item.evidence}">{text.EVIDENCE[item.evidence]}</span>'
    note = f' <span class="why">{esc(item.note)}</span>' if item.note else ""
    return estimate(item.value, item.unit) + mark + note


def estimate(value: Estimate | None, unit: str) -> str:
    """Return a value with its range as HTML; a dash for none."""
    if value is None:
        return "-"
    mid, spread = text.parts(value, unit)
    between = f' <span class="range">({esc(spread)})</span>' if spread else ""
    return f'<span class="value">{esc(mid)}</span>{between}'


def _judged(verdict: Verdict, crossover: str = "") -> str:
    why = "".join(f'<p class="why">{esc(line)}</p>' for line in (verdict.because, crossover) if line)
    winner = f'<span class="winner">{esc(text.winner(verdict))}</span>'
    return f'<p class="judged">{winner}: {esc(verdict.criterion)}</p>{why}'
