"""A decision in every form: terminal here, JSON, Markdown and HTML beside it."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import RenderableType
from rich.text import Text

from steelyard.decide.relevance import in_words
from steelyard.decide.result import Decision, Influence, Odds, RouteMonths
from steelyard.report import decision_crossings as crossings
from steelyard.report import explain as trees
from steelyard.report import text
from steelyard.report.screen import bullets, empty_table, printed, section
from steelyard.report.terminal import MAX_WIDTH, MIN_WIDTH, WIDTH

MONTHS_SHOWN = 6  # rows of the table by month


def render(
    decision: Decision,
    *,
    form: str | None = None,
    explain: bool = False,
    width: int | None = None,
    colour: bool = False,
) -> str:
    """Return a decision for the terminal, as "json", "markdown" or "html", or the tree of the routes' costs."""
    if explain:
        return "\n".join(
            [f"Cost of the routes: {text.clean(decision.title)}", "", *trees.lines(decision.explained), ""]
        )
    if form == "json":
        from steelyard.report.decision_json import render as as_json

        return as_json(decision)
    if form in ("markdown", "html"):
        from steelyard.report import decision_html, decision_markdown

        return decision_markdown.render(decision) if form == "markdown" else decision_html.render(decision)
    return terminal(decision, width=width or WIDTH, colour=colour)


def terminal(decision: Decision, *, width: int = WIDTH, colour: bool = False) -> str:
    """Return the decision as text for a screen `width` columns wide."""
    return printed(_blocks(decision), width=min(max(width, MIN_WIDTH), MAX_WIDTH), colour=colour)


def _blocks(decision: Decision) -> Iterator[RenderableType]:
    yield Text(text.clean(decision.title), style="bold")
    yield Text(text.clean(decision.outcome))
    yield from section("What to do", Text(text.clean(decision.advice)))
    if decision.assumptions:
        yield from section("It hangs on", bullets(decision.assumptions))
    yield from section("Next fact to get", Text(text.clean(decision.next_fact)))
    yield from section("The routes", _routes(decision), _options(decision))
    yield from section("Month by month, USD a month", _months(decision))
    yield from section("How likely each route is best", _odds(decision))
    yield from section("Where routes cross", bullets(crossings.sentences(decision)), _crossings(decision))
    yield from section("What matters most", _influences(decision))
    if decision.cheapest is not None:
        yield from section("Cheapest route at the median, by first-month load and horizon", _map(decision))
    yield from section("How much of it is inference", bullets(in_words(decision.relevance)))
    yield from section("Assumed", bullets(decision.also_assumed))
    yield Text()
    told = f"As of {decision.as_of}, {decision.draws} draws, seed {decision.seed}, catalogue {decision.catalogue}."
    yield Text(f"{told} Ranges are p10 to p90. {text.legend()}.", style="dim")
    yield Text("All values: --markdown, --html, --json; the costs term by term: --explain.", style="dim")


def considered(decision: Decision) -> list[RouteMonths]:
    """Return the routes that the scenario names."""
    return [route for route in decision.routes if route.option or route.why_not != "not considered"]


def standing(route: RouteMonths) -> str:
    """Return whether a route is in the running, and what would settle it where it is not."""
    if route.in_running:
        return "in the running"
    step = f"; {text.clean(route.settles)}" if route.settles else ""
    return f"out: {text.clean(route.why_not)}{step}"


def _routes(decision: Decision) -> RenderableType:
    table = empty_table("Route", "All months", "A request", "First useful day", "Best in")
    for route in considered(decision):
        style = "" if route.in_running else "dim"
        table.add_row(
            Text(text.title(route.route), style=style),
            Text(text.ranged(route.total_usd, "usd"), style=style),
            Text(text.ranged(route.usd_per_request, "usd_per_request"), style=style),
            Text(route.first_useful_day or "-", style=style),
            Text(share(route.overall_probability) if route.in_running else "-", style=style),
        )
    return table


def _options(decision: Decision) -> RenderableType:
    table = empty_table("Route", "Option", "In the running")
    for route in considered(decision):
        style = "" if route.in_running else "dim"
        words = (text.title(route.route), text.clean(route.option) or "-", standing(route))
        table.add_row(*(Text(cell, style=style) for cell in words))
    return table


def share(probability: float) -> str:
    """Return a share of draws; a finite number of draws never shows certainty."""
    return "over 99%" if probability > 0.99 else f"{probability:.0%}"


def shown_months(decision: Decision) -> list[int]:
    """Return the months that a short table shows: evenly spread, first and last among them."""
    last = len(decision.month_dates) - 1
    count = min(MONTHS_SHOWN, last + 1)
    return sorted({round(i * last / max(count - 1, 1)) for i in range(count)})


def _months(decision: Decision) -> RenderableType:
    routes = [route for route in considered(decision) if route.monthly_usd]
    table = empty_table("Month from", "Requests a day", *(text.title(route.route) for route in routes))
    for month in shown_months(decision):
        table.add_row(
            Text(decision.month_dates[month]),
            Text(text.ranged(decision.requests_per_day[month], "request")),
            *(Text(text.ranged(route.monthly_usd[month], "usd")) for route in routes),
        )
    return table


def _odds(decision: Decision) -> RenderableType:
    names = [route.route for route in considered(decision) if route.in_running]
    table = empty_table("", "Best", *(text.title(name) for name in names))
    for one in (decision.verdict, *decision.odds):
        table.add_row(
            Text(one.title, style="bold"),
            Text(best(one), style="bold green"),
            *(Text(share(one.shares[name]) if name in one.shares else "-") for name in names),
        )
    return table


def best(odds: Odds) -> str:
    """Return who is best, in words."""
    return text.title(odds.winner) if odds.winner else "nobody"


def _crossings(decision: Decision) -> RenderableType:
    table = empty_table(*crossings.HEADINGS)
    for cells in crossings.rows(decision):
        table.add_row(*(Text(cell) for cell in cells))
    return table if table.row_count else Text()


def _influences(decision: Decision) -> RenderableType:
    table = empty_table("Input", "Lead at its p10", "Lead at its p90", "Cheapest then", "Worth knowing", "How")
    for one in decision.influences:
        table.add_row(
            Text(text.clean(one.label)),
            Text(gap(one.gap_low_usd)),
            Text(gap(one.gap_high_usd)),
            Text(cheapest_then(one)),
            Text(text.amount(one.worth_usd, "usd", 2) if one.worth_usd > 0 else "-"),
            Text(text.clean(one.how)),
        )
    return table


def gap(usd: float) -> str:
    """Return by how much the leading route is ahead of the next."""
    if usd == float("inf"):
        return "alone"
    return text.amount(usd, "usd", 2) if usd >= 0 else f"behind by {text.amount(-usd, 'usd', 2)}"


def cheapest_then(one: Influence) -> str:
    """Return the cheapest route at either end of an input."""
    if not one.flips:
        return text.title(one.winner_low)
    return f"{text.title(one.winner_low)}, then {text.title(one.winner_high)}"


def _map(decision: Decision) -> RenderableType:
    found = decision.cheapest
    assert found is not None
    picked = range(0, len(found.requests_per_day), 4)
    table = empty_table("Horizon", *(text.compact(found.requests_per_day[i]) + "/day" for i in picked))
    for months, row in zip(found.horizon_months, found.route, strict=True):
        table.add_row(f"{months} month{'s' * (months > 1)}", *(text.title(row[i]) for i in picked))
    return table
