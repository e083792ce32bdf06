"""A decision as Markdown: the tables of the terminal, with every month."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from steelyard.decide.relevance import in_words
from steelyard.decide.result import Decision
from steelyard.report import decision_crossings as crossings
from steelyard.report import explain, text
from steelyard.report.decision import best, cheapest_then, considered, gap, share, standing
from steelyard.report.markdown import escape, source, table


def render(decision: Decision) -> str:
    """Return the decision as a Markdown document."""
    return "\n".join(_lines(decision)) + "\n"


def _lines(decision: Decision) -> Iterator[str]:
    yield f"# {escape(decision.title)}"
    yield from ("", escape(decision.outcome), "", "## What to do", "", escape(decision.advice))
    yield from _listed("It hangs on", decision.assumptions)
    yield from ("", "## Next fact to get", "", escape(decision.next_fact))
    yield from ("", "## The routes", "", *_routes(decision))
    yield from ("", "## Month by month, USD a month", "", *_months(decision))
    yield from ("", "## How likely each route is best", "", *_odds(decision))
    yield from _listed("Where routes cross", crossings.sentences(decision))
    if against := [tuple(escape(words) for words in cells) for cells in crossings.rows(decision)]:
        yield from ("", *table(crossings.HEADINGS, against))
    yield from ("", "## What matters most", "", *_influences(decision))
    if decision.cheapest is not None:
        yield from ("", "## Cheapest route at the median, by first-month load and horizon", "", *_map(decision))
    yield from _listed("How much of it is inference", in_words(decision.relevance))
    yield from _listed("Assumed", decision.also_assumed)
    yield from _listed("Not modelled", decision.not_modelled)
    yield from _listed("Warnings", decision.warnings)
    yield from ("", "## How the costs came about", "", "```text")
    yield from (line.replace("```", "'''") for line in explain.lines(decision.explained))
    yield from ("```", "", "## Sources", "", *(f"- {source(name)}" for name in decision.sources), "")
    told = f"As of {decision.as_of}, {decision.draws} draws, seed {decision.seed}, catalogue {decision.catalogue}."
    yield f"{told} Ranges are p10 to p90. {escape(text.legend())}."


def _listed(heading: str, items: Iterable[str]) -> Iterator[str]:
    lines = [f"- {escape(item)}" for item in items]
    if lines:
        yield from ("", f"## {heading}", "", *lines)


def _routes(decision: Decision) -> Iterator[str]:
    yield from table(
        (
            "Route",
            "Option",
            "All months",
            "A request",
            "Before the first answer",
            "First useful day",
            "Best in",
            "Standing",
        ),
        (
            (
                text.title(route.route),
                escape(route.option) or "-",
                text.ranged(route.total_usd, "usd"),
                text.ranged(route.usd_per_request, "usd_per_request"),
                text.ranged(route.upfront_usd, "usd"),
                route.first_useful_day or "-",
                share(route.overall_probability) if route.in_running else "-",
                escape(standing(route)),
            )
            for route in considered(decision)
        ),
    )


def _months(decision: Decision) -> Iterator[str]:
    routes = [route for route in considered(decision) if route.monthly_usd]
    yield from table(
        ("Month from", "Requests a day", *(text.title(route.route) for route in routes)),
        (
            (
                day,
                text.ranged(decision.requests_per_day[month], "request"),
                *(text.ranged(route.monthly_usd[month], "usd") for route in routes),
            )
            for month, day in enumerate(decision.month_dates)
        ),
    )


def _odds(decision: Decision) -> Iterator[str]:
    names = [route.route for route in considered(decision) if route.in_running]
    yield from table(
        ("", "Criterion", "Best", *(text.title(name) for name in names)),
        (
            (
                one.title,
                escape(one.criterion),
                best(one),
                *(share(one.shares[name]) if name in one.shares else "-" for name in names),
            )
            for one in (decision.verdict, *decision.odds)
        ),
    )


def _influences(decision: Decision) -> Iterator[str]:
    yield from table(
        ("Input", "Lead at its p10", "Lead at its p90", "Cheapest then", "Worth knowing", "How"),
        (
            (escape(one.label), gap(one.gap_low_usd), gap(one.gap_high_usd), cheapest_then(one),
             text.amount(one.worth_usd, "usd", 2) if one.worth_usd > 0 else "-", escape(one.how))
            for one in decision.influences
        ),
    )  # fmt: skip


def _map(decision: Decision) -> Iterator[str]:
    found = decision.cheapest
    assert found is not None
    picked = range(0, len(found.requests_per_day), 2)
    yield from table(
        ("Horizon", *(text.compact(found.requests_per_day[i]) + "/day" for i in picked)),
        (
            (f"{months} month{'s' * (months > 1)}", *(text.title(row[i]) for i in picked))
            for months, row in zip(found.horizon_months, found.route, strict=True)
        ),
    )
