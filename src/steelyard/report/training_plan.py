"""A plan of training layouts: what its sheet says, and its JSON document."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from steelyard.compare.jobs import Option, TrainingPlan, WhyNot
from steelyard.compare.jobs.layouts import layout_text
from steelyard.report import sheet as sheets
from steelyard.report.json_document import document
from steelyard.report.plain import share
from steelyard.report.sheet import Bullets, Part, Plot, Rows, Section, Sheet, Words
from steelyard.report.text import amount
from steelyard.report.training_figures import front
from steelyard.report.training_prediction import title
from steelyard.units import format_quantity

SCHEMA = "steelyard/plan-train/1"
_WIDE = 150  # columns that a table with layouts takes
_APART_RATIO = 0.05  # rows shown differ by this share of the memory, or of the time and money


def render(plan: TrainingPlan, *, form: str | None = None, explain: bool = False, width: int | None = None) -> str:
    """Return a plan as text, as "json", "markdown" or "html", or the trees of terms behind its winner."""
    return sheets.render(
        sheet(plan, width), form=form, document=lambda: plan_document(plan), explain=explain, width=width
    )


def plan_document(plan: TrainingPlan) -> dict[str, Any]:
    """Return the document of a plan; `result` has `num_layouts`, `num_fitting` and `elapsed_s`."""
    return document(
        SCHEMA,
        inputs=plan.job.inputs() | {"devices": [one.num_devices for one in plan.found], "deadline_s": plan.deadline_s},
        result=plan.to_dict(),
        breakdown={name: tree.to_dict() for name, tree in plan.winner.trees().items()},
        sources=plan.winner.sources,
        warnings=plan.warnings,
    )


def sheet(plan: TrainingPlan, width: int | None = None) -> Sheet:
    """Return what a plan says."""
    sections = [
        Section(
            heading="Worth choosing: nothing is at once as fast, as cheap, on as few devices and as small",
            parts=(*_options(plan, width), Plot("Days against money", lambda: front(plan))),
        ),
    ]
    if plan.compared is not None:
        sections.append(
            Section(heading=f"Why not: {layout_text(plan.compared.layout)}", parts=tuple(_why_not(plan.compared)))
        )
    more = "median case; ranges, memory and money of one layout: steelyard predict train --layout ..."
    return Sheet(
        title=title(plan.winner),
        asked=(
            f"{plan.num_layouts:,} layouts keep the rules, {plan.num_fitting:,} of them fit the memory",
            *filter(None, plan.why_none),
            *_winner(plan),
        ),
        sections=[*sections, Section(heading="Read it so", parts=(Bullets([more]),))],
        trees=plan.winner.trees(),
        sources=plan.winner.sources,
        warnings=plan.warnings,
    )


def _winner(plan: TrainingPlan) -> Iterator[str]:
    found = {_cheapest_name(plan): plan.cheapest}
    if plan.cheapest is not plan.fastest:
        found = {"fastest": plan.fastest} | found
    else:
        found = {f"fastest and {name}": option for name, option in found.items()}
    if plan.simplest.layout not in {option.layout for option in found.values()}:
        found |= {"simplest as fast, but for noise": plan.simplest}
    for name, option in found.items():
        cost = "" if option.rented_usd is None else f", {amount(option.rented_usd, 'usd')} rented"
        yield (
            f"{name}: {format_quantity(option.wall_s, 's')} on {option.num_devices:,} devices{cost}, "
            f"MFU {share(option.mfu_ratio)}"
        )
        yield f"  --layout {layout_text(option.layout)}"


def _cheapest_name(plan: TrainingPlan) -> str:
    return "cheapest" if plan.deadline_s is None else f"cheapest within {format_quantity(plan.deadline_s, 's')}"


def _spread(plan: TrainingPlan) -> list[Option]:
    """Return the options of the front that differ enough to be told apart, the fastest first."""
    usable = plan.fastest.total_bytes + plan.fastest.left_bytes
    shown: list[Option] = []
    for option in plan.front:
        near = [
            other
            for other in shown
            if other.num_devices == option.num_devices
            and other.total_bytes - option.total_bytes < _APART_RATIO * usable
        ]
        if not near or option is plan.cheapest:
            shown.append(option)
    return shown


def _options(plan: TrainingPlan, width: int | None) -> Iterator[Part]:
    """Yield the options as a table; on a narrow screen their layouts stand below it, by number."""
    shown = _spread(plan)
    rows = [_row(plan, option) for option in shown]
    if width is None or width >= _WIDE:
        yield Rows(rows)
    else:
        layouts = [row.pop("layout") for row in rows]
        yield Rows([{"#": str(place)} | row for place, row in enumerate(rows, 1)])
        yield Words([f"{place:>2}  {layout}" for place, layout in enumerate(layouts, 1)])
    if len(shown) < len(plan.front):
        yield Words([f"{len(plan.front)} in all; --json has every one"])


def _row(plan: TrainingPlan, option: Option) -> dict[str, str]:
    mark = "fastest" if option is plan.fastest else "cheapest" if option is plan.cheapest else ""
    return {
        "": mark,
        "time": format_quantity(option.wall_s, "s"),
        "rented": "unpriced" if option.rented_usd is None else amount(option.rented_usd, "usd"),
        "devices": f"{option.num_devices:,}",
        "memory left": format_quantity(option.left_bytes, "bytes"),
        "step": format_quantity(option.step_s, "s"),
        "MFU": share(option.mfu_ratio),
        "layout": layout_text(option.layout),
    }


def _why_not(asked: WhyNot) -> Iterator[Part]:
    if asked.broken_rule:
        yield Bullets([f"it breaks a rule: {asked.broken_rule}"])
    elif asked.lacking_bytes:
        items = ", ".join(f"{name} {format_quantity(size, 'bytes')}" for name, size in asked.biggest)
        changes = ", ".join(f"{name} ({format_quantity(size, 'bytes')})" for name, size in asked.smaller_by)
        yield Bullets(
            [
                f"it lacks {format_quantity(asked.lacking_bytes, 'bytes')} a device; the biggest items: {items}",
                f"it fits with one of: {changes}" if changes else "no single change makes it fit: split it further",
            ]
        )
    elif asked.best is None:
        yield Bullets(["it fits, and no layout within the limits does"])
    else:
        best = layout_text(asked.best)
        yield Bullets([f"rank {asked.rank:,} of {asked.num_fitting:,}, {share(asked.slower_ratio)} slower than {best}"])
        yield Rows(list(_parts(asked)))


def _parts(asked: WhyNot) -> Iterator[dict[str, str]]:
    for part in asked.parts:
        if part.asked_s or part.best_s:
            yield {
                "s per Mtoken": part.label,
                "this": format_quantity(part.asked_s, "s"),
                "best": format_quantity(part.best_s, "s"),
                "lost": ("-" if part.lost_s < 0 else "") + format_quantity(abs(part.lost_s), "s"),
            }
