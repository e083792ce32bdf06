"""A decision as one HTML file with plots: nothing is fetched, every word is escaped."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from steelyard.decide.relevance import in_words
from steelyard.decide.result import Decision
from steelyard.report import decision_crossings as crossings
from steelyard.report import text
from steelyard.report.decision import best, cheapest_then, considered, gap, share, standing
from steelyard.report.decision_figures import figures
from steelyard.report.html import estimate
from steelyard.report.page import cell, drawn, esc, folded, footer, listed, notes, page, row, table, trees

PLOTS = {
    "cumulative-cost": "What each route has cost by the end of each month",
    "tornado": "What matters most",
    "cheapest": "Cheapest route at the median, by first-month load and horizon",
}


def render(decision: Decision) -> str:
    """Return the page; it opens offline and prints."""
    plots = figures(decision)
    return page(f"{decision.title}: what to do", _body(decision, list(plots)), plots)


def _body(decision: Decision, plots: list[str]) -> Iterator[str]:
    yield f"<h1>{esc(decision.title)}</h1>"
    yield f'<p class="outcome">{esc(decision.outcome)}</p>'
    yield f'<section class="answer"><p>{esc(decision.advice)}</p></section>'
    yield from _listed("It hangs on", decision.assumptions)
    yield f"<h2>Next fact to get</h2><p>{esc(decision.next_fact)}</p>"
    yield "<h2>The routes</h2>"
    yield from routes(decision)
    yield from _plot("cumulative-cost", plots)
    yield "<h2>How likely each route is best</h2>"
    yield from _odds(decision)
    yield from _crossings(decision)
    yield from _plot("tornado", plots)
    yield from _influences(decision, PLOTS["tornado"] if "tornado" not in plots else "")
    yield from _plot("cheapest", plots)
    yield from trees("How the costs came about", [("Term by term", decision.explained)])
    yield from _listed("How much of it is inference", in_words(decision.relevance))
    lists = (
        ("Assumed", decision.also_assumed),
        ("Not modelled", decision.not_modelled),
        ("Warnings", decision.warnings),
    )
    yield from notes(lists, decision.sources)
    told = f"As of {decision.as_of}, {decision.draws} draws, seed {decision.seed}, catalogue {decision.catalogue}."
    yield footer(f"{told} Ranges are p10 to p90. {text.legend()}.")


def parts(decision: Decision) -> Iterator[str]:
    """Yield the decision without its plots, for a page that draws them itself."""
    yield f'<p class="advice">{esc(decision.advice)}</p><p>{esc(decision.plan.sentence)}</p>'
    yield from _listed("It hangs on", decision.assumptions)
    yield f"<h3>Next fact to get</h3><p>{esc(decision.next_fact)}</p>"
    yield from routes(decision)
    yield "<h3>How likely each route is best</h3>"
    yield from _odds(decision)
    yield from _crossings(decision)
    yield from _influences(decision, PLOTS["tornado"])
    yield folded("Term by term", decision.explained)


def _plot(name: str, plots: list[str]) -> Iterator[str]:
    if name in plots:
        yield drawn(name, PLOTS[name])


def _listed(heading: str, items: Iterable[str]) -> Iterator[str]:
    if lines := list(items):
        yield f"<h2>{heading}</h2>{listed(lines)}"


def routes(decision: Decision) -> Iterator[str]:
    """Yield what each route costs, when it first answers, and how often it is the best."""
    money = ("All months", "A request", "Before the first answer")
    rows = []
    for route in considered(decision):
        told = f'<span class="label">{esc(route.option)}</span><p class="why">{esc(standing(route))}</p>'
        spent = ((route.total_usd, "usd"), (route.usd_per_request, "usd_per_request"), (route.upfront_usd, "usd"))
        cells = [
            *(
                cell(estimate(value, unit), label, style="money")
                for label, (value, unit) in zip(money, spent, strict=True)
            ),
            cell(esc(route.first_useful_day) or "-", "First useful day", style="day"),
            cell(share(route.overall_probability) if route.in_running else "-", "Best in"),
        ]
        rows.append(row(f"{esc(text.title(route.route))} {told}", cells, "" if route.in_running else "out"))
    yield from table(("Route", *money, "First useful day", "Best in"), rows)


def _odds(decision: Decision) -> Iterator[str]:
    names = [route.route for route in considered(decision) if route.in_running]
    rows = [
        row(
            f'{esc(one.title)}<p class="why">{esc(one.criterion)}</p>',
            [
                cell(f'<span class="winner">{esc(best(one))}</span>', "Best"),
                *(cell(share(one.shares[name]) if name in one.shares else "-", text.title(name)) for name in names),
            ],
        )
        for one in (decision.verdict, *decision.odds)
    ]
    yield from table(("", "Best", *(text.title(name) for name in names)), rows)


def _crossings(decision: Decision) -> Iterator[str]:
    yield from _listed("Where routes cross", crossings.sentences(decision))
    heading, *columns = crossings.HEADINGS
    rows = [
        row(esc(route), [cell(esc(words), label) for label, words in zip(columns, cells, strict=True)])
        for route, *cells in crossings.rows(decision)
    ]
    if rows:
        yield from table((heading, *columns), rows)


def _influences(decision: Decision, heading: str) -> Iterator[str]:
    if heading:
        yield f"<h2>{heading}</h2>"
    columns = ("Lead at its p10", "Lead at its p90", "Cheapest then", "Worth knowing", "How")
    rows = []
    for one in decision.influences:
        shown = (
            gap(one.gap_low_usd),
            gap(one.gap_high_usd),
            cheapest_then(one),
            text.amount(one.worth_usd, "usd", 2) if one.worth_usd > 0 else "-",
            one.how,
        )
        cells = (cell(esc(words), label) for label, words in zip(columns, shown, strict=True))
        rows.append(row(esc(one.label), cells))
    yield from table(("Input", *columns), rows)
