"""What a decision is: routes by month, odds, break-evens, what matters, the plan. Rendered by `report`."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from steelyard.compare.result import FactorResult, Quantity
from steelyard.decide.relevance import Relevance
from steelyard.records.estimate import Estimate
from steelyard.records.term import Term

NOBODY = "nobody"  # where no route keeps the floor and the objective


def plain(value: Any) -> Any:
    """Return a result as JSON knows it: records become mappings by field."""
    if hasattr(value, "to_dict"):
        return value.to_dict()
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {item.name: plain(getattr(value, item.name)) for item in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return value


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteMonths:
    """One route month by month [M], nominal USD; a route that is unpriced has no months and says why."""

    route: str
    option: str
    in_running: bool
    why_not: str  # unpriced, quality unknown, below the floor, misses the objective, not considered
    settles: str  # what would settle an unknown: which evaluation, which price
    quality: Quantity
    to_rent_or_buy: str
    first_useful_day: str  # the date at the median; "" where unpriced
    days_to_first_answer: Estimate | None
    upfront_usd: Estimate | None
    total_usd: Estimate | None  # over the horizon, commitments beyond it included
    usd_per_request: Estimate | None
    monthly_usd: tuple[Estimate, ...]
    cumulative_usd: tuple[Estimate, ...]  # with what was paid before the first answer
    devices: tuple[Estimate, ...]
    energy_j: tuple[Estimate, ...]  # at the facility's meter; training is in the first month
    carbon_kgco2e: tuple[Estimate, ...]
    overall_probability: float  # that it is the one to choose


@dataclass(frozen=True, slots=True, kw_only=True)
class Odds:
    """Which route is best under one criterion, in which share of the draws; the shares sum to one."""

    id: str
    title: str
    criterion: str
    winner: str  # a route, `too close to call`, `tie`; "" where nobody is in the running
    shares: Mapping[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Crossing:
    """Where two routes cost the same on one axis: load, utilisation, price or date.

    `at` is None where they never cross within what was looked at; `probability` is the share of draws in which they do.
    """

    axis: str  # "load", "price", "date"; "utilisation" and "device rent", each against "reserved cost" and "busy cost"
    left: str  # cheaper before
    right: str  # cheaper beyond
    at: Estimate | None
    unit: str
    now: float | None  # where the scenario stands
    probability: float
    sentence: str
    quantity: str = ""  # what `at` is of, in words, where routes are set against the API; empty on load and date


@dataclass(frozen=True, slots=True, kw_only=True)
class CheapestMap:
    """The cheapest route at the median over first-month load [L] and horizon [H]."""

    requests_per_day: tuple[float, ...]
    horizon_months: tuple[int, ...]
    route: tuple[tuple[str, ...], ...]  # [H][L]
    margin_ratio: tuple[tuple[float, ...], ...]  # cost of the second over the first [H][L]


@dataclass(frozen=True, slots=True, kw_only=True)
class Influence:
    """One uncertain input: what its p10 and p90 do to the choice, the others at their medians."""

    name: str
    label: str
    how: str  # how it gets known: "measure ...", "negotiate ...", "watch ..."
    low_usd: float  # cost of the leading route at the input's p10
    high_usd: float  # at its p90
    gap_low_usd: float  # by how much the leading route is cheaper than the next, at its p10 (negative: dearer)
    gap_high_usd: float
    winner_low: str
    winner_high: str
    worth_usd: float  # expected gain of knowing it before choosing

    @property
    def flips(self) -> bool:
        return self.winner_low != self.winner_high


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One step of the plan: a route from a month on."""

    route: str
    option: str
    from_month: int  # 0 is the first
    from_date: str
    set_up_by: str  # when to begin setting it up; "" for the first step


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What to do: one route, or two with a month to change over."""

    steps: tuple[Step, ...]
    total_usd: Estimate | None
    saves_usd: Estimate | None  # against the best single route; None where there is no change
    change_month: Estimate | None  # best month to change in each draw; infinity where never
    change_probability: float  # that a change pays within the horizon
    change_requests_per_day: Estimate | None
    sentence: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """The whole answer."""

    title: str
    outcome: str
    advice: str
    verdict: Odds  # overall
    plan: Plan
    assumptions: tuple[str, ...]  # the three it hangs on
    next_fact: str  # what to measure or negotiate next
    routes: tuple[RouteMonths, ...]
    month_dates: tuple[str, ...]  # first day of each month of the horizon
    requests_per_day: tuple[Estimate, ...]
    odds: tuple[Odds, ...]  # the seven factors
    factors: tuple[FactorResult, ...]
    crossings: tuple[Crossing, ...]
    cheapest: CheapestMap | None
    relevance: tuple[Relevance, ...]  # the share of inference in each priced route
    influences: tuple[Influence, ...]  # largest first
    perfect_information_usd: float  # expected gain of knowing everything
    explained: Term
    also_assumed: tuple[str, ...]
    not_modelled: tuple[str, ...]
    warnings: tuple[str, ...]
    sources: tuple[str, ...]
    as_of: str
    seed: int
    draws: int
    catalogue: str  # fingerprint of the figures used
    inputs: Mapping[str, Any] = field(default_factory=dict)

    def route(self, name: str) -> RouteMonths:
        return next(route for route in self.routes if route.route == name)

    def to_dict(self) -> dict[str, Any]:
        """Return the result as plain mappings and lists, without inputs, sources and trees."""
        apart = {"inputs", "sources", "warnings", "explained", "factors"}
        return {item.name: plain(getattr(self, item.name)) for item in dataclasses.fields(self)
                if item.name not in apart}  # fmt: skip
