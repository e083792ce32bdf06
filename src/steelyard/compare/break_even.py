"""Break-even: which route is cheapest at which monthly load, and where the lines cross.

The median case is evaluated over a grid of loads at once (one more axis, not one more path); each crossing is then
narrowed down by evaluating the two routes between the grid points around it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt

from steelyard.compare.result import BreakEven, Segment
from steelyard.units import format_quantity


class CostCurves(Protocol):
    """Takes loads [L] in requests a month, returns USD a month [L] of the routes asked for (all in the running)."""

    def __call__(
        self, loads: npt.NDArray[np.float64], routes: tuple[str, ...] = ...
    ) -> Mapping[str, npt.NDArray[np.float64]]: ...


POINTS_PER_DECADE = 16
LOADS = 65  # of a round: two of them find a crossing to within 1 in 20,000
LEAST_SPAN = 4  # grid points a segment must span to be told apart from the steps of whole devices


def find_break_even(curves: CostCurves, *, stated_requests_per_month: float, decades: float = 4.0) -> BreakEven:
    """Return the segments of load and the routes cheapest in them, `decades` to either side of the stated load."""
    middle = np.log10(stated_requests_per_month)
    points = int(2 * decades * POINTS_PER_DECADE) + 1
    loads = np.logspace(middle - decades, middle + decades, points)
    costs = curves(loads)
    if not costs:
        return BreakEven(
            segments=(),
            requests_per_month=tuple(loads),
            usd_per_month={},
            sentence="No route is in the running.",
            stated_requests_per_month=stated_requests_per_month,
        )
    routes = list(costs)
    table = np.stack([costs[route] for route in routes])  # [routes, loads]
    winners = smooth(np.argmin(table, axis=0))
    segments = _segments(curves, routes, loads, winners)
    return BreakEven(
        segments=segments,
        requests_per_month=tuple(float(load) for load in loads),
        usd_per_month={route: tuple(float(cost) for cost in costs[route]) for route in routes},
        stated_requests_per_month=stated_requests_per_month,
        sentence=describe(segments, stated_requests_per_month, float(loads[0]), float(loads[-1])),
    )


def smooth(winners: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Return the winners with runs shorter than `LEAST_SPAN` given to the run before them.

    Fleets come in whole devices, so near a crossing the lead changes back and forth at every step.
    """
    runs: list[list[int]] = []  # [winner, length]
    for winner in winners:
        if runs and runs[-1][0] == winner:
            runs[-1][1] += 1
        else:
            runs.append([int(winner), 1])
    merged: list[list[int]] = []
    for winner, length in runs:
        if merged and (length < LEAST_SPAN or merged[-1][0] == winner):
            merged[-1][1] += length
        else:
            merged.append([winner, length])
    return np.repeat([winner for winner, _ in merged], [length for _, length in merged])


def crossing(curves: CostCurves, left: str, right: str, low: float, high: float, *, rounds: int = 2) -> float:
    """Return the load between `low` and `high` at which `right` becomes as cheap as `left`.

    Each round evaluates `LOADS` loads at once and keeps the interval of the first change of sign.
    """
    for _ in range(rounds):
        loads = np.geomspace(low, high, LOADS)
        costs = curves(loads, (left, right))
        cheaper = np.nonzero(costs[right] <= costs[left])[0]
        if not cheaper.size:
            return float(high)
        first = int(cheaper[0])
        if first == 0:
            return float(low)
        low, high = float(loads[first - 1]), float(loads[first])
    return float(np.sqrt(low * high))


def _segments(
    curves: CostCurves, routes: Sequence[str], loads: npt.NDArray[np.float64], winners: npt.NDArray[np.int64]
) -> tuple[Segment, ...]:
    changes = np.nonzero(np.diff(winners))[0]
    edges = [
        crossing(curves, routes[winners[i]], routes[winners[i + 1]], float(loads[i]), float(loads[i + 1]))
        for i in changes
    ]
    starts, ends = [0.0, *edges], [*edges, float("inf")]
    names = [routes[winners[0]], *(routes[winners[i + 1]] for i in changes)]
    return tuple(
        Segment(route=name, from_requests_per_month=start, to_requests_per_month=end)
        for name, start, end in zip(names, starts, ends, strict=True)
    )


def describe(segments: Sequence[Segment], stated: float, least: float, most: float) -> str:
    """Return the break-even line: the cheapest route by load at the median, and where the stated load lies."""
    parts = []
    for segment in segments:
        up_to = segment.to_requests_per_month
        start = segment.from_requests_per_month
        if start == 0 and np.isinf(up_to):
            parts.append(f"{segment.route} at every load looked at")
        elif start == 0:
            parts.append(f"{segment.route} below {format_quantity(up_to, 'request')} a month")
        elif np.isinf(up_to):
            parts.append(f"{segment.route} above {format_quantity(start, 'request')}")
        else:
            parts.append(
                f"{segment.route} from {format_quantity(start, 'request')} to {format_quantity(up_to, 'request')}"
            )
    looked = f"{format_quantity(least, 'request')} to {format_quantity(most, 'request')} a month looked at"
    you = f"You start at {format_quantity(stated, 'request')} a month."
    return f"Cheapest at the median: {', '.join(parts)} ({looked}). {you}"
