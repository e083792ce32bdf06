"""The comparison as a newcomer first sees it: the answer, what it costs, the seven factors twice."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from steelyard.compare.result import Cell, Comparison, FactorResult, Quantity, RouteSummary, Verdict
from steelyard.records.estimate import Estimate
from steelyard.report import text
from steelyard.report.screen import bullets, empty_table, printed, section

WIDTH = 118  # off a terminal
MIN_WIDTH, MAX_WIDTH = 60, 132
TABLE_WIDTH = 104  # below this, factors are listed one after the other instead of standing in a table
QUANTITIES_SHOWN = 3  # of a cell; the others are in --markdown, --html and --json


def render(comparison: Comparison, *, width: int = WIDTH, colour: bool = False) -> str:
    """Return the comparison as text for a screen `width` columns wide, with colours only when asked."""
    width = min(max(width, MIN_WIDTH), MAX_WIDTH)
    return printed(_blocks(comparison, wide=width >= TABLE_WIDTH), width=width, colour=colour)


def _blocks(comparison: Comparison, *, wide: bool) -> Iterator[RenderableType]:
    yield Text(text.clean(comparison.title), style="bold")
    yield Text(text.clean(comparison.outcome))
    yield from section("The answer", Text(text.clean(comparison.advice)))
    yield from section("What you pay and need, in USD", *_summaries(comparison, wide=wide))
    activities = _activities_table(comparison) if wide else _activities_list(comparison)
    yield from section("Inference against training", activities)
    yield from section("Best route, factor by factor", _best_routes(comparison))
    yield from section("The routes in figures", _routes_table(comparison) if wide else _routes_list(comparison))
    yield from section("Cheapest route by load", Text(text.clean(comparison.break_even.sentence)))
    yield from section("Assumed", bullets(comparison.assumptions))
    yield from section("Not modelled", bullets(comparison.not_modelled))
    yield Text()
    yield Text(f"Ranges are p10 to p90 over the seeded draws. {text.legend()}.", style="dim")
    factors = ", ".join(factor.id for factor in comparison.factors)
    more = f"How a factor came about: --explain FACTOR ({factors}). All values: --markdown, --html, --json."
    yield Text(more, style="dim")


def _summaries(comparison: Comparison, *, wide: bool) -> Iterator[RenderableType]:
    shown = [summary for summary in comparison.summaries if summary.route in text.routes(comparison)]
    months = max((len(summary.monthly_usd) for summary in shown), default=0)
    money = ("A month now", text.later_month(months), "Before the first answer", f"All {months} months")
    table = empty_table("Route", *money, "Quality", *(["In the running"] if wide else []))
    for summary in shown:
        style = "" if summary.in_running else "dim"
        spent = (summary.first_month_usd, summary.in_a_year_usd, summary.upfront_usd, summary.total_usd)
        table.add_row(
            Text(text.title(summary.route), style="bold" if summary.in_running else "dim"),
            *(_money(value, style) for value in spent),
            _quantity(summary.quality, style),
            *([_standing(summary)] if wide else []),
        )
    yield table
    yield _options_table(shown) if wide else _options_list(shown)


def _standing(summary: RouteSummary) -> Text:
    if summary.in_running:
        return Text("yes", style="green")
    return Text(f"no: {text.clean(summary.why_not)}", style="yellow")


def _options_table(summaries: Iterable[RouteSummary]) -> RenderableType:
    table = empty_table("Route", "Option", "To rent or buy")
    for summary in summaries:
        cells = (text.title(summary.route), text.clean(summary.option), text.clean(summary.to_rent_or_buy))
        table.add_row(*(Text(cell or "-") for cell in cells))
    return table


def _options_list(summaries: Iterable[RouteSummary]) -> RenderableType:
    grid = Table.grid(padding=(0, 2))
    for summary in summaries:
        grid.add_row(Text(text.title(summary.route)), Text(text.clean(summary.option) or "-"))
        grid.add_row("", Text(f"to rent or buy: {text.clean(summary.to_rent_or_buy) or '-'}", style="dim"))
        if not summary.in_running:
            grid.add_row("", Text.assemble(("in the running: ", "dim"), _standing(summary)))
    return grid


def _money(value: Estimate | None, style: str) -> Text:
    if value is None:
        return Text("-", style=style)
    mid, spread = text.parts(value, "usd")
    shown = Text(mid.removesuffix(" USD"), style=style)
    return shown.append(f"\n{spread}", style="dim") if spread else shown


def _quantity(item: Quantity, style: str = "") -> Text:
    if item.value is None:
        return Text(text.briefly(item), style="dim")
    value, spread = text.parts(item.value, item.unit)
    if not spread:
        return Text(f"{value} {text.letter(item)}", style=style)
    return Text(value, style=style).append(f"\n{spread} {text.letter(item)}", style="dim")


def _activities_table(comparison: Comparison) -> RenderableType:
    table = empty_table("Factor", "Inference", "Training", "Ratio", "Verdict")
    for column, ratio in zip(table.columns[1:], (4, 4, 2, 4), strict=True):
        column.ratio = ratio
    table.columns[0].width = 13
    table.expand = True
    for factor in comparison.factors:
        table.add_row(
            Text(factor.title, style="bold"),
            _cell(factor.activities.get("inference")),
            _cell(factor.activities.get("training")),
            Text("-") if factor.ratio is None else _quantity(factor.ratio),
            _verdict(factor.activity_verdict, factor.crossover),
        )
        table.add_section()
    return table


def _activities_list(comparison: Comparison) -> RenderableType:
    grid = Table.grid(padding=(0, 2))
    for factor in comparison.factors:
        grid.add_row(Text(factor.title, style="bold"), _verdict(factor.activity_verdict, factor.crossover))
        for name, cell in factor.activities.items():
            grid.add_row(Text(f"  {text.title(name)}"), _cell(cell))
        if factor.ratio is not None:
            grid.add_row(Text("  ratio"), Text(text.quantity(factor.ratio)))
        grid.add_row()
    return grid


def _cell(cell: Cell | None) -> Text:
    if cell is None:
        return Text("-")
    lines = [
        Text.assemble((f"{text.clean(item.label)}: ", "dim"), text.quantity(item))
        for item in cell.quantities[:QUANTITIES_SHOWN]
    ]
    if cell.note:
        lines.append(Text(text.clean(cell.note), style="dim"))
    return Text("\n").join(lines)


def _verdict(verdict: Verdict, crossover: str = "") -> Text:
    shown = Text.assemble((text.winner(verdict), "bold green"), f": {text.clean(verdict.criterion)}")
    for line in (verdict.because, crossover):
        if line:
            shown.append(f"\n{text.clean(line)}", style="dim")
    return shown


def _best_routes(comparison: Comparison) -> RenderableType:
    grid = Table.grid(padding=(0, 2))
    for factor in comparison.factors:
        verdict = factor.route_verdict
        line = Text.assemble((text.winner(verdict), "bold green"), f": {text.clean(verdict.criterion)}")
        if verdict.because:
            line.append(f" ({text.clean(verdict.because)})", style="dim")
        grid.add_row(Text(factor.title, style="bold"), line)
    return grid


def _routes_table(comparison: Comparison) -> RenderableType:
    routes = text.routes(comparison)
    table = empty_table("Factor", *(text.title(route) for route in routes))
    table.columns[0].width = 13
    for factor in comparison.factors:
        best = factor.route_verdict.winner
        table.add_row(
            Text.assemble((factor.title, "bold"), (f"\n{_headline_label(factor)}", "dim")),
            *(
                _quantity(factor.routes[route].headline, "bold green" if route == best else "")
                if route in factor.routes
                else Text("-")
                for route in routes
            ),
        )
        table.add_section()
    return table


def _headline_label(factor: FactorResult) -> str:
    labels = [cell.headline.label for cell in factor.routes.values() if cell.headline.value is not None]
    return text.clean(labels[0]) if labels else ""


def _routes_list(comparison: Comparison) -> RenderableType:
    grid = Table.grid(padding=(0, 2))
    for factor in comparison.factors:
        grid.add_row(Text(factor.title, style="bold"), Text(_headline_label(factor), style="dim"))
        for route in text.routes(comparison):
            if route in factor.routes:
                grid.add_row(Text(f"  {text.title(route)}"), Text(text.quantity(factor.routes[route].headline)))
    return grid
