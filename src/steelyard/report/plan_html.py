"""Plans and latency against load as parts of a page: tables of HTML, every word escaped."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from steelyard.compare.jobs import Option, TrainingPlan
from steelyard.compare.jobs.layouts import layout_text
from steelyard.compare.serving.by_load import LatencyByLoad
from steelyard.compare.serving.plan_result import PlanOption, ServingPlan
from steelyard.report.page import esc, folded, listed, row, table
from steelyard.report.plain import share
from steelyard.report.text import amount, joined, parts, ranged
from steelyard.report.training_prediction import title
from steelyard.units import format_quantity

MOST_ROWS = 25


def training_plan(plan: TrainingPlan) -> Iterator[str]:
    """Yield what a search over layouts found: the winner, the front, the trees behind the winner."""
    yield f"<p>{esc(title(plan.winner))}: {plan.num_layouts:,} layouts keep the rules, {plan.num_fitting:,} fit.</p>"
    shown = plan.front[:MOST_ROWS]
    yield from _table({_mark(plan, option): _training_row(option) for option in shown})
    if len(plan.front) > len(shown):
        yield f"<p>{len(plan.front)} in all; the plot shows every one.</p>"
    yield from (folded(name.replace("_", " "), tree) for name, tree in plan.winner.trees().items())
    yield listed(plan.warnings) if plan.warnings else ""


def serving_plan(plan: ServingPlan) -> Iterator[str]:
    """Yield the deployments that keep an objective, the cheapest first, and why the others lost."""
    best = plan.cheapest
    yield (
        f"<p>{plan.num_candidates} deployments bounded in closed form, {plan.num_simulations} simulations. "
        f"{plan.met_probability:.0%} of draws of the step time keep the objective with the cheapest.</p>"
    )
    marks = {id(plan.fastest): "fastest", id(plan.least_energy): "least energy", id(best): "cheapest"}
    rows = {}
    for option in plan.options[:MOST_ROWS]:
        mark = marks.get(id(option), "")
        rows[f"{option.candidate.name}{f' ({mark})' if mark else ''}"] = _serving_row(option)
    yield from _table(rows)
    yield listed(plan.why) if plan.why else ""
    yield listed(plan.warnings) if plan.warnings else ""


def latency(found: LatencyByLoad) -> Iterator[str]:
    """Yield each level of load with its percentiles, their ranges, and what it costs."""
    first = found.answers[0]
    yield f"<p>{esc(first.title)}; {esc(first.load_label)}.</p>"
    rows = {}
    for level, answer in zip(found.level_ratios, found.answers, strict=True):
        cells = {"requests a second": f"{answer.run.request_rate_per_s:.3g}"}
        for metric in ("ttft", "tpot"):
            for percentile in (50, 95, 99):
                known = answer.ranges.get(f"{metric}_p{percentile}_s")
                shown = joined(*parts(known, "s")) if known else "-"
                cells[f"{metric.upper()} p{percentile}"] = shown
        cells["a request"] = ranged(answer.usd.get("usd_per_request"), "usd_per_request")
        cells["objective"] = "missed: " + answer.misses[0].told if answer.misses else "kept"
        rows[f"{level:.0%} of capacity"] = cells
    yield from _table(rows)
    yield listed(first.warnings) if first.warnings else ""
    yield folded("a step at the least load", first.breakdown["step"])


def _table(rows: Mapping[str, Mapping[str, str]]) -> Iterator[str]:
    headings = next(iter(rows.values()), {})
    yield from table(("", *headings), (row(esc(name), _cells(cells)) for name, cells in rows.items()))


def _cells(cells: Mapping[str, str]) -> Iterable[str]:
    return (f'<td data-label="{esc(name)}">{esc(words)}</td>' for name, words in cells.items())


def _mark(plan: TrainingPlan, option: Option) -> str:
    mark = "fastest: " if option is plan.fastest else "cheapest: " if option is plan.cheapest else ""
    return mark + layout_text(option.layout)


def _training_row(option: Option) -> dict[str, str]:
    return {
        "time": format_quantity(option.wall_s, "s"),
        "rented": "unpriced" if option.rented_usd is None else amount(option.rented_usd, "usd"),
        "devices": f"{option.num_devices:,}",
        "memory left": format_quantity(option.left_bytes, "bytes"),
        "step": format_quantity(option.step_s, "s"),
        "MFU": share(option.mfu_ratio),
    }


def _serving_row(option: PlanOption) -> dict[str, str]:
    at = option.at
    return {
        "devices": f"{option.num_devices:,}",
        "requests/s each": f"{at.request_rate_per_s:.3g}",
        "TTFT": format_quantity(at.ttft_s, "s"),
        "TPOT": format_quantity(at.tpot_s, "s"),
        "tokens/s a device": f"{at.tokens_per_s_per_device:,.0f}",
        "J/token": f"{at.it_energy_j_per_token:.3g}",
        "USD/Mtoken": ranged(option.usd_per_output_mtoken, "usd"),
    }
