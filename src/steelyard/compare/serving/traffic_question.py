"""A question about a serving fleet under traffic, and its answer: what the simulator says, priced."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from steelyard.compare.serving.energy import EnergySplit
from steelyard.compare.serving.served_by import ServedBy
from steelyard.economics import RentalPrice
from steelyard.inference.simulator import ServingResult
from steelyard.records.estimate import Estimate
from steelyard.records.serving import Routing
from steelyard.records.term import Term
from steelyard.records.workload import Objective
from steelyard.units import format_number, format_quantity

DEFAULT_LEVEL_RATIO = 0.8
DEFAULT_TARGET_REQUESTS = 32.0
DRAW_REQUESTS = 20_000  # of each draw of the step-time residual, after a warm-up of as many at most


@dataclass(frozen=True, slots=True, kw_only=True)
class TrafficQuestion(ServedBy):
    """What is served on what, under which load, for whom.

    The load is open at `request_rate_per_s`, or at `level_ratio` of the capacity in closed form where that is None;
    closed with `concurrency` users; or all at once. What a load or a fleet has no use for is refused, not ignored.
    """

    model: str
    device: str
    load: str = "chat"  # a preset of the catalogue, or a trace file
    isl_tokens: float | None = None  # in place of the preset's lengths
    osl_tokens: float | None = None
    num_requests: int | None = None  # 100,000, or the whole trace, when None
    request_rate_per_s: float | None = None
    level_ratio: float | None = None
    concurrency: int | None = None
    all_at_once: bool = False
    arrival_cv_ratio: float | None = None  # the preset's when None
    gaps: str | None = None  # gamma when None
    daily: bool = False  # with the preset's rate by the hour
    tp: int = 1
    pp: int = 1
    dp: int = 1
    ep: int = 1
    weight_dtype: str | None = None
    kv_dtype: str | None = None
    static: bool = False
    max_sequences: int | None = None
    token_budget: int | None = None
    replicas: int = 1
    decode_replicas: int = 0  # separate ones; `replicas` then only prefill
    decode_layout: str | None = None  # of those, "tp=4,ep=4,max-sequences=64"; as the others' when None
    routing: Routing = "least-requests"
    replica_range: tuple[int, int] | None = None  # autoscaled between these numbers, in place of `replicas`
    target_requests: float | None = None  # autoscaling: in the system per replica; 32 when None
    mtbf_s: float | None = None  # of a replica; they do not fail when None
    objective: Objective = field(default_factory=Objective)
    pricing: str = "on_demand"
    usd_per_device_s: float | None = None  # the user's own, in place of the catalogue's
    as_of: date | None = None  # the newest prices when None
    seed: int = 0
    draws: int = 20
    warm_up_ratio: float = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Miss:
    """A limit of the objective that the run does not keep."""

    metric: str  # "TTFT p95"
    limit_s: float
    reached_s: float

    @property
    def told(self) -> str:
        over = format_number(self.reached_s / self.limit_s)
        reached, limit = format_quantity(self.reached_s, "s"), format_quantity(self.limit_s, "s")
        return f"{self.metric} is {reached}, {over} times the {limit} asked"


@dataclass(frozen=True, slots=True, kw_only=True)
class TrafficAnswer:
    """What the fleet does. Ranges are p10, p50, p90 over draws of the step-time residual, each simulated."""

    title: str
    load_label: str
    served_by: ServedBy
    run: ServingResult
    elapsed_s: float  # of the run itself, without compilation
    ranges: Mapping[str, Estimate]  # "ttft_p95_s" and the like
    drawn_requests: int  # that each draw simulates, the first of the load; 0 without draws
    overloaded_probability: float  # share of draws in which the fleet cannot keep up
    rent: RentalPrice | None  # None: the device has no price
    usd: Mapping[str, Estimate]  # per request, per Mtoken and hour; empty where the device has no price
    energy: EnergySplit  # of the run
    kv_transfer_s: float  # of a mean prompt from prefill to decode replica; 0 where one replica does both
    objective: Objective
    misses: tuple[Miss, ...]
    inputs: Mapping[str, Any]
    breakdown: Mapping[str, Term]
    sources: tuple[str, ...]
    warnings: tuple[str, ...]

    @property
    def exit_code(self) -> int:
        """Return 1 when the objective is missed."""
        return int(bool(self.misses))
