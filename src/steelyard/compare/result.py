"""What a comparison is: factors, verdicts, break-even, money over time. Rendered by `report`, never computed there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from steelyard.records.estimate import Estimate
from steelyard.records.term import Term

Evidence = Literal["predicted", "measured", "cited", "stated", "assumed"]
ROUTES = ("api", "hosted_finetune", "serve", "hybrid", "finetune", "pretrain")
ACTIVITIES = ("inference", "training")
TOO_CLOSE = "too close to call"
NOT_COMPARABLE = "not comparable"
TIE = "tie"


@dataclass(frozen=True, slots=True, kw_only=True)
class Quantity:
    """One value of a cell: what it is, SI unit, range, and where it comes from.

    `value` is None where it is not known; `note` then says why ("unpriced", "quality unknown", "does not fit").
    """

    label: str
    value: Estimate | None
    unit: str
    evidence: Evidence
    note: str = ""

    def to_dict(self) -> dict[str, Any]:
        value = None if self.value is None else self.value.to_dict()
        return {
            "label": self.label,
            "value": value,
            "unit": self.unit,
            "evidence": self.evidence,
            "note": self.note,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One activity or route under one factor: the headline quantity first, then what stands beside it."""

    quantities: tuple[Quantity, ...]
    note: str = ""

    @property
    def headline(self) -> Quantity:
        return self.quantities[0]

    def to_dict(self) -> dict[str, Any]:
        return {"quantities": [quantity.to_dict() for quantity in self.quantities], "note": self.note}


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """Who wins a factor, under which criterion, and why in one sentence.

    `winner` is an activity, a route, `tie`, `not comparable`, `too close to call`; "" where nobody is in the running.
    """

    winner: str
    criterion: str
    because: str = ""
    probability: float | None = None  # share of draws in which the winner is best
    shares: Mapping[str, float] = field(default_factory=dict)  # of draws in which each is best; of ties, equal parts

    def to_dict(self) -> dict[str, Any]:
        return {
            "winner": self.winner,
            "criterion": self.criterion,
            "because": self.because,
            "probability": self.probability,
            "shares": dict(self.shares),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class FactorResult:
    """One of the seven factors, for the two activities and for the routes."""

    id: str
    title: str
    activities: Mapping[str, Cell]
    ratio: Quantity | None  # inference over training, in the headline's units
    crossover: str  # where the two activities cross, in words; empty where they do not
    activity_verdict: Verdict
    routes: Mapping[str, Cell]
    route_verdict: Verdict
    tree: Term  # what `--explain` prints

    def to_dict(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "title": self.title,
            "activities": {name: cell.to_dict() for name, cell in self.activities.items()},
            "ratio": None if self.ratio is None else self.ratio.to_dict(),
            "crossover": self.crossover,
            "activity_verdict": self.activity_verdict.to_dict(),
            "routes": {name: cell.to_dict() for name, cell in self.routes.items()},
            "route_verdict": self.route_verdict.to_dict(),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """A range of monthly load over which one route is cheapest (`to_requests` is infinity for the last)."""

    route: str
    from_requests_per_month: float
    to_requests_per_month: float

    def to_dict(self) -> dict[str, Any]:
        return {
            "route": self.route,
            "from_requests_per_month": self.from_requests_per_month,
            "to_requests_per_month": self.to_requests_per_month,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakEven:
    """Which route is cheapest at which monthly load, and each route's cost over the load for the plot."""

    segments: tuple[Segment, ...]
    requests_per_month: tuple[float, ...]  # [L]
    usd_per_month: Mapping[str, tuple[float, ...]]  # route -> [L], mean over the horizon, median draw
    stated_requests_per_month: float
    sentence: str

    def to_dict(self) -> dict[str, Any]:
        return {
            "segments": [segment.to_dict() for segment in self.segments],
            "requests_per_month": list(self.requests_per_month),
            "usd_per_month": {route: list(values) for route, values in self.usd_per_month.items()},
            "stated_requests_per_month": self.stated_requests_per_month,
            "sentence": self.sentence,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteSummary:
    """What one route is, costs and needs: the answers to a user's three questions."""

    route: str
    option: (
        str  # what was chosen within the route: "openai/gpt-6-luna", "gpt-oss-120b on 2x h100-sxm5-80gb, reserved_1y"
    )
    in_running: bool
    why_not: str  # why it cannot win: unpriced, quality unknown, below the floor, does not fit, misses the objective
    first_month_usd: Estimate | None
    in_a_year_usd: Estimate | None  # month 12, or the last one of a shorter horizon
    last_month_usd: Estimate | None
    upfront_usd: Estimate | None
    total_usd: Estimate | None
    monthly_usd: tuple[Estimate, ...]  # one a month of the horizon
    cumulative_usd: tuple[Estimate, ...]  # paid by the end of each month, with what was paid before the first answer
    devices_first: Estimate | None
    devices_last: Estimate | None
    to_rent_or_buy: str  # in words
    quality: Quantity

    def to_dict(self) -> dict[str, Any]:
        def plain(value: Estimate | None) -> dict[str, float] | None:
            return None if value is None else value.to_dict()

        return {
            "route": self.route,
            "option": self.option,
            "in_running": self.in_running,
            "why_not": self.why_not,
            "first_month_usd": plain(self.first_month_usd),
            "in_a_year_usd": plain(self.in_a_year_usd),
            "last_month_usd": plain(self.last_month_usd),
            "upfront_usd": plain(self.upfront_usd),
            "total_usd": plain(self.total_usd),
            "monthly_usd": [value.to_dict() for value in self.monthly_usd],
            "cumulative_usd": [value.to_dict() for value in self.cumulative_usd],
            "devices_first": plain(self.devices_first),
            "devices_last": plain(self.devices_last),
            "to_rent_or_buy": self.to_rent_or_buy,
            "quality": self.quality.to_dict(),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """The whole answer."""

    title: str
    outcome: str  # the stated outcome in words: so many answers a month, of which model, at which quality
    summaries: tuple[RouteSummary, ...]  # in ROUTES order
    factors: tuple[FactorResult, ...]  # the seven
    advice: str  # which way to go and from which load on
    break_even: BreakEven
    assumptions: tuple[str, ...]
    not_modelled: tuple[str, ...]
    warnings: tuple[str, ...]
    sources: tuple[str, ...]  # ids of the catalogue sources used
    inputs: Mapping[str, Any] = field(default_factory=dict)  # the scenario as understood

    def factor(self, factor_id: str) -> FactorResult:
        return next(factor for factor in self.factors if factor.id == factor_id)

    def to_dict(self) -> dict[str, Any]:
        return {
            "title": self.title,
            "outcome": self.outcome,
            "advice": self.advice,
            "routes": [summary.to_dict() for summary in self.summaries],
            "factors": [factor.to_dict() for factor in self.factors],
            "break_even": self.break_even.to_dict(),
            "assumptions": list(self.assumptions),
            "not_modelled": list(self.not_modelled),
        }
