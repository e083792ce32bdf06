"""Plots of training: where a step and the memory go, and what days cost."""

from __future__ import annotations

from steelyard import training
from steelyard.compare.jobs import TrainingPlan
from steelyard.compare.jobs.layouts import layout_text
from steelyard.report.plain import middle
from steelyard.report.plot import OTHER, PALETTE, Figure, layout, mark, positive, stacked
from steelyard.units import SECONDS_PER_DAY

STEP_PARTS = (
    ("forward_s", "forward"),
    ("backward_s", "backward"),
    ("recompute_s", "recomputed forward"),
    ("ends_s", "embedding, head, uneven stages"),
    ("tp_s", "tensor parallel, exposed"),
    ("cp_s", "context parallel, exposed"),
    ("ep_s", "expert parallel, exposed"),
    ("pp_s", "pipeline hand-over, exposed"),
    ("dp_s", "data parallel, exposed"),
    ("bubble_s", "pipeline bubble"),
    ("optimizer_s", "optimizer"),
    ("straggler_s", "waiting for the slowest rank"),
)


def step_plot(step: training.Step) -> Figure:
    """Return the parts of a step."""
    return stacked({"a step": {label: middle(getattr(step, name)) for name, label in STEP_PARTS}}, "s")


def memory_plot(memory: training.Memory) -> Figure:
    """Return the parts of a device's memory, with what is usable of it."""
    drawn = stacked({"a device": {name: size / 1e9 for name, size in memory.biggest(20)}}, "GB")
    usable = middle(memory.usable_bytes) / 1e9
    line = {"color": OTHER, "width": 2, "dash": "dot"}
    edge = {"type": "line", "yref": "paper", "y0": 0, "y1": 1, "x0": usable, "x1": usable, "line": line}
    words = {"x": usable, "y": 1, "yref": "paper", "text": "usable", "showarrow": False, "xanchor": "right"}
    drawn["layout"] |= {"shapes": [edge], "annotations": [words]}
    return drawn


def front(plan: TrainingPlan) -> Figure | None:
    """Return days against money of the options worth choosing, by the number of devices; None where unpriced."""
    options = [option for option in plan.front if option.rented_usd is not None]
    if not options:
        return None
    data: list[Figure] = []
    for place, count in enumerate(dict.fromkeys(option.num_devices for option in options)):
        held = [option for option in options if option.num_devices == count]
        data.append(
            {
                "type": "scatter",
                "mode": "markers",
                "name": f"{count:,} devices",
                "x": [option.wall_s / SECONDS_PER_DAY for option in held],
                "y": [option.rented_usd for option in held],
                "text": [layout_text(option.layout) for option in held],
                "hovertemplate": "%{x:.3g} days, %{y:$,.3r}<br>%{text}<extra></extra>",
                "marker": {"color": PALETTE[place % len(PALETTE)], "size": 8, "symbol": place % len(PALETTE)},
            }
        )
    for name, option in (("fastest", plan.fastest), ("cheapest", plan.cheapest)):
        if option.rented_usd is not None:
            data.append(mark(name, option.wall_s / SECONDS_PER_DAY, option.rented_usd))
    days, costs = [option.wall_s / SECONDS_PER_DAY for option in options], [option.rented_usd for option in options]
    return {"data": data, "layout": layout("days", "USD, rented", log_x=map(positive, days), log_y=costs)}
