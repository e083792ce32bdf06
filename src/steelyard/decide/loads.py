"""The routes at other loads: who is cheapest at which load and horizon, and at which load two routes cross.

Every second axis is one more row: loads x a sample of the draws are evaluated at once.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np

from steelyard.compare.case import Case
from steelyard.compare.draws import Draw
from steelyard.compare.weigh import splits
from steelyard.decide.options import able_options
from steelyard.decide.result import CheapestMap, Crossing
from steelyard.records.estimate import estimate
from steelyard.units import format_quantity

DECADES = 4.0  # to either side of the stated load
LOADS = 33
SAMPLE = 32  # draws at every load
MAP_HORIZONS = (1, 3, 6, 12, 18, 24, 36, 48, 60, 84, 120)


@dataclass(frozen=True, kw_only=True)
class LoadCosts:
    """Costs through each month of each route's best option [S, L, M], over sampled draws and loads."""

    case: Case
    load_ratio: Draw  # [L] over the stated load
    through_usd: Mapping[str, Draw]

    @property
    def requests_per_day(self) -> Draw:
        result: Draw = self.load_ratio * self.case.scenario.demand.requests_per_day
        return result

    def totals_usd(self, route: str) -> Draw:
        """Return the cost of the whole horizon [S, L]."""
        return self.through_usd[route][:, :, -1]


def load_costs(case: Case, able: Mapping[str, Collection[str]]) -> LoadCosts:
    """Return what the routes cost at loads around the stated one; of each route, its best option at each load."""
    ratio = np.logspace(-DECADES, DECADES, LOADS)
    sample = min(SAMPLE, case.draws.count)
    rows = np.linspace(0, case.draws.count - 1, sample).round().astype(np.int64)
    scores = {name: np.repeat(case.draws.normal(name)[rows], LOADS, axis=0) for name in case.draws.asked}
    at = case.pinned_at(scores, np.tile(ratio, sample).reshape(-1, 1))
    shape = (sample, LOADS, case.months)
    found = {}
    for route, options in able_options(at, able).items():
        costs = [
            np.broadcast_to(
                np.where(splits(option)[:, None] > 0, option.through_usd, np.inf), (sample * LOADS, case.months)
            )
            for option in options
        ]
        table = np.stack([cost.reshape(shape) for cost in costs])  # [options, S, L, M]
        best = np.argmin(np.median(table[..., -1], axis=1), axis=0)  # [L]: chosen before the draw is known
        found[route] = np.take_along_axis(table, best[None, None, :, None], axis=0)[0]
    return LoadCosts(case=case, load_ratio=ratio, through_usd=found)


def cheapest_map(costs: LoadCosts) -> CheapestMap | None:
    """Return the cheapest route at the median over load and horizon."""
    if not costs.through_usd:
        return None
    months = costs.case.months
    horizons = (*(month for month in MAP_HORIZONS if month < months), months)
    names = list(costs.through_usd)
    table = np.stack([np.median(costs.through_usd[name], axis=0) for name in names])  # [routes, L, M]
    table = table[:, :, np.array(horizons) - 1].transpose(0, 2, 1)  # [routes, H, L]
    ranked = np.sort(table, axis=0)
    second = ranked[1] if len(names) > 1 else np.full_like(ranked[0], np.inf)
    best = np.argmin(table, axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        margin = np.where(ranked[0] > 0, second / ranked[0], np.inf)
    return CheapestMap(
        requests_per_day=tuple(costs.requests_per_day.tolist()),
        horizon_months=horizons,
        route=tuple(tuple(names[i] for i in row) for row in best),
        margin_ratio=tuple(tuple(row) for row in margin.tolist()),
    )


def load_crossings(costs: LoadCosts) -> tuple[Crossing, ...]:
    """Return the loads at which the cheapest route changes, each with its range over the draws."""
    names = list(costs.through_usd)
    if len(names) < 2:
        return ()
    medians = np.stack([np.median(costs.totals_usd(name), axis=0) for name in names])
    winners = np.argmin(medians, axis=0)
    changes = np.nonzero(np.diff(winners))[0]
    found = [_crossing(costs, names[winners[i]], names[winners[i + 1]]) for i in changes]
    return tuple(one for one in found if one.at is not None and np.isfinite(one.at.p50))


def _crossing(costs: LoadCosts, left: str, right: str) -> Crossing:
    per_day = costs.requests_per_day
    loads = np.array(
        [_first_cheaper(per_day, costs.totals_usd(left)[s], costs.totals_usd(right)[s]) for s in range(_size(costs))]
    )
    crosses = np.isfinite(loads)
    at = estimate(loads)
    now = costs.case.scenario.demand.requests_per_day
    spread = f"{_load(at.p10)} to {_load(at.p90)}"
    sentence = (
        f"{right} is cheaper than {left} from {_load(at.p50)} in the first month on ({spread}); yours is {_load(now)}"
    )
    return Crossing(
        axis="load", left=left, right=right, at=at, unit="request_per_day", now=now,
        probability=float(crosses.mean()), sentence=sentence,
    )  # fmt: skip


def _size(costs: LoadCosts) -> int:
    return len(next(iter(costs.through_usd.values())))


def _load(per_day: float) -> str:
    return f"{format_quantity(per_day, 'request')} a day" if np.isfinite(per_day) else "no load looked at"


def _first_cheaper(loads: Draw, left: Draw, right: Draw) -> float:
    """Return the load from which `right` costs no more than `left` for good; infinity where it never does."""
    dearer = np.nonzero(~(right <= left))[0]
    if not dearer.size:
        return float(loads[0])
    last = int(dearer[-1])
    if last == len(loads) - 1:
        return np.inf
    around = np.array([left[last], left[last + 1], right[last], right[last + 1]])
    if not (np.isfinite(around).all() and (around > 0).all()):
        return float(loads[last + 1])
    before, beyond = np.log(right[last] / left[last]), np.log(right[last + 1] / left[last + 1])
    part = before / (before - beyond) if before > beyond else 0.5
    return float(loads[last] * (loads[last + 1] / loads[last]) ** part)
