"""Route `hybrid`: a base load on one's own fleet, the rest to an API or to devices by the hour; the split is optimal.

Each month has its best base fleet; a fleet that is committed to is started in the month from which it pays, or never.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from steelyard.compare.case import Case
from steelyard.compare.draws import Draw
from steelyard.compare.quality import Score
from steelyard.compare.routes import energy
from steelyard.compare.routes.api import misses_objective, serving_flop
from steelyard.compare.routes.device_price import FREE_TO_LEAVE, DevicePrice, device_price, owed_usd
from steelyard.compare.routes.outcome import Latency, Outcome, Unpriced, median
from steelyard.compare.routes.overflow import Overflow, from_api, from_devices
from steelyard.compare.routes.people import engineer_usd_per_month
from steelyard.compare.routes.replica import Replica, find_replicas
from steelyard.compare.routes.serve import fleet_energy_j, held_text
from steelyard.compare.scenario import ServeRoute
from steelyard.compare.scenario_routes import TO_API, TO_DEVICES
from steelyard.errors import DoesNotFitError, UnknownError
from steelyard.records.term import Term
from steelyard.units import SECONDS_PER_MONTH

_LOADS = np.logspace(-4, 4, 17)  # over the stated one
_NEAR_RATIO = 1.3  # of the least cost in the median case: far more than medians over draws are off it


@dataclass(frozen=True, kw_only=True)
class Split:
    """A base fleet month by month [D, M], and what it and the rest cost."""

    replicas: Draw
    over_ratio: Draw  # share of answers that overflow
    energy_j: Draw  # of the base fleet
    parts: Mapping[str, Draw]  # USD by what it is paid for

    @property
    def usd(self) -> Draw:
        total: Draw = sum(self.parts.values(), np.zeros((1, 1)))
        return total


def pick(splits: Sequence[Split], which: npt.NDArray[np.int64]) -> Split:
    """Return the split that is in each place the one of number `which` [D, M], or what broadcasts to it."""

    def picked(values: list[Draw]) -> Draw:
        return np.choose(which, values)

    return Split(
        replicas=picked([split.replicas for split in splits]),
        over_ratio=picked([split.over_ratio for split in splits]),
        energy_j=picked([split.energy_j for split in splits]),
        parts={name: picked([split.parts[name] for split in splits]) for name in splits[0].parts},
    )


@dataclass(frozen=True, kw_only=True)
class Base:
    """One way of carrying the base load, and where the rest goes."""

    case: Case
    replica: Replica
    price: DevicePrice
    pricing: str
    engineers: float
    overflow: Overflow

    def split(self, replicas: Draw) -> Split:
        """Return what a base fleet of so many replicas costs in each month [D, M], and what the rest does."""
        case, each = self.case, self.replica.deployment.num_devices
        base_per_s = self.replica.carries(replicas)
        over = overflow_ratio(case, base_per_s)
        devices = replicas * each
        fleet_j = fleet_energy_j(case, self.replica, devices, case.mean_rate_per_s * (1 - over))
        power = fleet_j * energy.electricity_usd_per_j(case) if self.price.powered_by_user else np.zeros((1, 1))
        return Split(
            replicas=replicas,
            over_ratio=over,
            energy_j=fleet_j,
            parts={
                "base fleet": devices * self.price.usd_per_device_s * SECONDS_PER_MONTH,
                "electricity": power * np.ones((1, case.months)),
                "overflow": self.overflow.cost_usd(base_per_s, over),
                "people": self.engineers
                * engineer_usd_per_month(case)
                * np.maximum(replicas > 0, self.overflow.needs_people),
            },
        )

    def owed_usd(self, replicas: Draw) -> Draw:
        return owed_usd(self.case, replicas * self.replica.deployment.num_devices, self.price, self.pricing)

    def per_month_usd(self) -> Draw:
        """Return what one more replica costs in a month, working all the time [D, M]."""
        each = self.replica.deployment.num_devices
        rent = self.price.usd_per_device_s * SECONDS_PER_MONTH * each
        if not self.price.powered_by_user:
            return rent
        full = fleet_energy_j(self.case, self.replica, np.full((1, 1), float(each)), np.full((1, 1), np.inf))
        return rent + full * energy.electricity_usd_per_j(self.case)


@dataclass(frozen=True, kw_only=True)
class Named:
    """A hybrid by its name, with the lesser of its two qualities."""

    option: str
    base: Base
    score: Score


def evaluate(case: Case) -> list[Outcome | Unpriced]:
    near = case.once(("hybrids near the best",), lambda: near_best(case))
    return [
        found if isinstance(found, Unpriced) else named_outcome(found)
        for found in candidates(case)
        if isinstance(found, Unpriced) or (found.option in near and case.wants("hybrid", found.option))
    ]


def near_best(case: Case) -> frozenset[str]:
    """Return the hybrids worth evaluating in every draw: of least median cost, or near it, at some load.

    A hybrid is chosen by its median cost, which is near its cost in the median case. Only those are compared that stand
    alike: the same overflow, and a fleet that keeps the objective or not. Where the overflow itself is slower than the
    objective, how much of the answers it takes decides, and none is left out.
    """
    loads = dataclasses.replace(case.at_loads(_LOADS), only=None)
    groups: dict[tuple[str, bool], list[tuple[str, Draw, Draw]]] = {}
    near: set[str] = set()
    for drawn, typical in zip(candidates(case), candidates(loads), strict=True):
        if isinstance(drawn, Unpriced) or isinstance(typical, Unpriced):
            continue
        overflow = drawn.base.overflow
        if overflow.latency.evidence == "cited" and misses_objective(case, overflow.latency):
            near.add(drawn.option)
            continue
        split = best_split(typical.base)
        cost = split.usd.sum(axis=1) + typical.base.owed_usd(split.replicas)[:, -1]
        cost, held = (np.broadcast_to(row, _LOADS.shape) for row in (cost, split.replicas.sum(axis=1)))
        groups.setdefault((overflow.name, bool(drawn.base.replica.misses)), []).append((drawn.option, cost, held))
    for alike in groups.values():
        costs, held = np.stack([cost for _, cost, _ in alike]), np.stack([fleet for *_, fleet in alike])
        kept = ((costs <= _NEAR_RATIO * costs.min(axis=0)) & (held > 0)).any(axis=1)
        kept[np.argmin(costs, axis=0)] = True  # where none holds a fleet, all are one: everything overflows
        near |= {option for (option, *_), keep in zip(alike, kept, strict=True) if keep}
    return frozenset(near)


def candidates(case: Case) -> list[Named | Unpriced]:
    """Return every hybrid of the scenario, not evaluated yet."""
    routes = case.scenario.routes
    if not routes.hybrid or not routes.serve:
        return []
    apis: tuple[str, ...] = ()
    if TO_API in routes.hybrid.overflow:
        apis = (routes.hybrid.api,) if routes.hybrid.api else routes.api.options if routes.api else ()
    hired = (TO_DEVICES,) if TO_DEVICES in routes.hybrid.overflow else ()
    return [
        option
        for device_ref in routes.serve.devices
        for pricing in routes.serve.pricing
        for overflow in (*apis, *hired)
        for option in _candidates(case, routes.serve, device_ref, pricing, overflow)
    ]


def _candidates(case: Case, serve: ServeRoute, device_ref: str, pricing: str, to: str) -> list[Named | Unpriced]:
    model_ref = serve.model or case.scenario.model
    own = case.score("serve", model_ref)
    other = own if to == TO_DEVICES else case.score(to, "api")
    worst = min(
        (own, other),
        key=lambda score: (score.passes, score.value is not None, score.value.p50 if score.value else 0.0),
    )
    try:
        replicas = find_replicas(case, serve, model_ref, device_ref)
        price = device_price(case, device_ref, pricing)
        supplied = [from_devices(case, one, own) if to == TO_DEVICES else from_api(case, to) for one in replicas]
    except (DoesNotFitError, UnknownError) as error:
        name = f"{model_ref} on {device_ref}, {pricing}; overflow to {to}"
        return [Unpriced(route="hybrid", option=name, reason=str(error), score=worst)]
    return [
        Named(
            option=f"{one.name}, {pricing}; overflow to {over.name}",
            base=Base(case=case, replica=one, price=price, pricing=pricing, engineers=serve.engineers, overflow=over),
            score=worst,
        )
        for one, over in zip(replicas, supplied, strict=True)
    ]


def named_outcome(named: Named) -> Outcome:
    """Return the outcome of a hybrid at its best split."""
    return dataclasses.replace(_outcome(named.base), option=named.option, score=named.score)


def _outcome(base: Base) -> Outcome:
    case, replica, overflow = base.case, base.replica, base.overflow
    split = best_split(base)
    devices = split.replicas * replica.deployment.num_devices
    owed = base.owed_usd(split.replicas)
    capital = base.price.capital_usd * devices[:, :1]
    return Outcome(
        route="hybrid",
        option="",
        score=overflow.score,
        monthly_usd=split.usd,
        upfront_usd=np.zeros((1, 1)),
        devices=devices,
        serving_energy_j=split.energy_j + case.requests * split.over_ratio * overflow.energy_j_per_request,
        serving_flop=serving_flop(case, case.requests, replica.model),
        first_answer_s=case.assumed("setup_api" if overflow.latency.evidence == "cited" else "setup_serve"),
        latency=_slower(overflow.latency, replica.latency),
        held=lambda: (
            f"{held_text(replica, base.pricing, devices, capital)}; "
            f"{median(split.over_ratio):.0%} of answers from {overflow.name}"
        ),
        people_usd=split.parts["people"],
        owed_usd=owed,
        capital_usd=capital,
        per_device=replica.per_device,
        spilled_ratio=split.over_ratio,
        autoscales=overflow.needs_people,
        capacity_tree=replica.tree,
        misses=replica.misses or _overflow_misses(case, overflow, split),
        met=replica.met,
        tree=lambda: _tree(split, owed[:, -1:], base.price),
        energy_evidence="predicted",
        sources=(*base.price.sources, *overflow.sources),
    )


def _overflow_misses(case: Case, overflow: Overflow, split: Split) -> str:
    """Return why an API is too slow for what it is sent: more of the answers than the objective leaves out."""
    objective = case.objective
    left_out = 1.0 - max(objective.ttft_percentile, objective.tpot_percentile) / 100.0
    if overflow.latency.evidence != "cited" or median(split.over_ratio.mean(axis=1)) <= left_out:
        return ""
    return misses_objective(case, overflow.latency)


def _slower(one: Latency, other: Latency) -> Latency:
    return dataclasses.replace(
        one,
        ttft_s=np.maximum(one.ttft_s, other.ttft_s),
        tpot_s=np.maximum(one.tpot_s, other.tpot_s),
        e2e_s=np.maximum(one.e2e_s, other.e2e_s),
        note=f"the slower of fleet and overflow; {one.note}",
    )


def _tree(split: Split, left_over: Draw, rent: DevicePrice) -> Term:
    return Term(
        label="hybrid",
        value=median(split.usd.sum(axis=1) + left_over[:, 0]),
        unit="usd",
        formula="base fleet + electricity + overflow + people + commitments left over",
        children=(
            *(Term(label=label, value=median(part.sum(axis=1)), unit="usd") for label, part in split.parts.items()),
            Term(label="commitments left over", value=median(left_over), unit="usd"),
            Term(
                label="answers that overflow",
                value=median(split.over_ratio),
                unit="ratio",
                formula="mean over the hours of a day of max(0, rate - base capacity) / mean rate",
            ),
            rent.tree(),
        ),
    )


def best_split(base: Base) -> Split:
    """Return the base fleet that costs least: month by month where it can be given back, else from its best start.

    Among the fleets tried are none at all and the whole peak, so a hybrid costs no more than its overflow for all, nor
    than its fleet for all.
    """
    case = base.case
    low, high = least_cost_replicas(base)
    none, whole = (
        base.split(np.zeros((1, case.months))),
        base.split(base.replica.held(case.peak_rate_per_s, base.pricing)),
    )
    around = [base.split(low), base.split(high)]
    if base.pricing in FREE_TO_LEAVE:
        tried = [none, *around, whole]
        return pick(tried, np.argmin(_stacked([split.usd for split in tried]), axis=0))
    best = np.argmin(_stacked([split.usd for split in around]), axis=0)
    grown = base.split(np.maximum.accumulate(np.choose(best, [low, high]), axis=1))
    started = pick([none, grown], np.where(np.arange(case.months) >= best_start(base, none, grown), 1, 0))
    paths = [none, whole, started]
    totals = [split.usd.sum(axis=1) + base.owed_usd(split.replicas)[:, -1] for split in paths]
    return pick(paths, np.argmin(known(case, _stacked(totals).T), axis=1)[:, None])


def least_cost_replicas(base: Base) -> tuple[Draw, Draw]:
    """Return the whole numbers of replicas around the best base fleet of each month [D, M].

    A replica is worth its cost where it is busy in so large a share of the hours that the overflow it saves pays for
    it: the newsvendor's critical ratio, share = cost of a replica / (its capacity x time x overflow price).

    Source:
        Arrow, Harris, Marschak, "Optimal Inventory Policy", Econometrica 19(3), 1951.
    """
    case, carried = base.case, base.replica.among
    share = base.per_month_usd() / (carried * SECONDS_PER_MONTH * base.overflow.usd_per_request)
    levels = np.append(np.sort(case.hourly_shape_ratio)[::-1], 0.0)  # exceeded in 0, 1, ... hours of the day
    hours = np.minimum(share * len(case.hourly_shape_ratio), len(levels) - 1.0)
    replicas = levels[hours.astype(np.int64)] * case.mean_rate_per_s / carried
    step = base.replica.bought_together(base.pricing)
    low = np.floor(replicas / step) * step
    return low, low + step


def _stacked(values: Sequence[Draw]) -> Draw:
    """Return arrays of shapes that broadcast as one, along a new first axis."""
    return np.stack(np.broadcast_arrays(*values))


def best_start(base: Base, none: Split, grown: Split) -> npt.NDArray[np.int64]:
    """Return the month from which a committed fleet pays [1, 1]: one for all draws (for each load of a curve)."""
    before = np.cumsum(none.usd, axis=1) - none.usd  # spent before a start in month m
    after = np.cumsum(grown.usd[:, ::-1], axis=1)[:, ::-1]
    totals = before + after + _owed_from(base, grown.replicas)
    first: npt.NDArray[np.int64] = np.argmin(known(base.case, totals), axis=1)[:, None]
    return first


def _owed_from(base: Base, grown: Draw) -> Draw:
    """Return what is owed after the horizon by a fleet that is started in each month [D, M]."""
    months = base.case.months
    whole = np.eye(months)[:, None, :]  # one replica joining in month m
    each = np.stack([base.owed_usd(np.maximum.accumulate(one, axis=1))[:, -1] for one in whole], axis=1)  # [D, M]
    added = np.diff(grown, axis=1, prepend=0.0) * each
    later = np.cumsum(added[:, ::-1], axis=1)[:, ::-1] - added
    return later + grown * each


def known(case: Case, values: Draw) -> Draw:
    """Return values [D, ...] as one knows them before a draw: their median [1, ...]; rows of a curve stay."""
    rows: Draw = np.asarray(values, dtype=np.float64)
    return np.median(rows, axis=0, keepdims=True) if case.draws.seed is not None else rows


def overflow_ratio(case: Case, base_rate_per_s: Draw) -> Draw:
    """Return the share of answers [..., M] that exceed a base capacity, over the hours of a mean day."""
    return spilled_ratio(case.hourly_shape_ratio, np.asarray(base_rate_per_s) / case.mean_rate_per_s)


def spilled_ratio(hourly_shape_ratio: Draw, level_ratio: Draw) -> Draw:
    """Return the mean over the hours of what exceeds a level, both as shares of the mean rate.

    It is straight between the rates of two hours, so those of all hours fix it.

    Example:
        >>> spilled_ratio(np.array([0.5, 1.5]), np.array([0.0, 1.0, 2.0])).tolist()
        [1.0, 0.25, 0.0]
    """
    knots = np.unique(np.append(0.0, hourly_shape_ratio))
    over = np.maximum(hourly_shape_ratio - knots[:, None], 0.0).mean(axis=1)
    result: Draw = np.interp(level_ratio, knots, over)
    return result
