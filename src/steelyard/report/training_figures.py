"""Plots of training: where a step and the memory go, and what days cost."""

from __future__ import annotations

from steelyard import training
from steelyard.compare.jobs import Option, TrainingPlan
from steelyard.compare.jobs.layouts import layout_text
from steelyard.report.plain import middle
from steelyard.report.plot import OTHER, PALETTE, Figure, layout, mark, positive, stacked
from steelyard.units import SECONDS_PER_DAY, SECONDS_PER_HOUR, format_quantity

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


def front(plan: TrainingPlan) -> Figure:
    """Return days against money (device-hours where unpriced) of the options worth choosing, by number of devices."""
    priced = all(option.rented_usd is not None for option in plan.front)

    def cost(option: Option) -> float:
        return (option.rented_usd or 0.0) if priced else option.device_s / SECONDS_PER_HOUR

    data: list[Figure] = []
    for place, count in enumerate(dict.fromkeys(option.num_devices for option in plan.front)):
        held = [option for option in plan.front if option.num_devices == count]
        data.append(
            {
                "type": "scatter",
                "mode": "markers",
                "name": f"{count:,} devices",
                "x": [option.wall_s / SECONDS_PER_DAY for option in held],
                "y": [cost(option) for option in held],
                "text": [f"{layout_text(o.layout)}<br>{format_quantity(o.left_bytes, 'bytes')} left" for o in held],
                "hovertemplate": "%{x:.3g} days, %{y:,.3r}<br>%{text}<extra></extra>",
                "marker": {"color": PALETTE[place % len(PALETTE)], "size": 8, "symbol": place % len(PALETTE)},
            }
        )
    for name, option in (("fastest", plan.fastest), ("cheapest", plan.cheapest)):
        data.append(mark(name, option.wall_s / SECONDS_PER_DAY, cost(option)))
    days = [positive(option.wall_s / SECONDS_PER_DAY) for option in plan.front]
    costs = [positive(cost(option)) for option in plan.front]
    axes = layout("days", "USD, rented" if priced else "device-hours", log_x=days, log_y=costs)
    return {"data": data, "layout": axes}
