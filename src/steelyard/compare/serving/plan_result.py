"""What a search over serving deployments is asked, and what it finds."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from steelyard import economics, inference
from steelyard.compare.serving.energy import EnergySplit
from steelyard.compare.serving.plan_account import DeviceAccount
from steelyard.compare.serving.served_by import ServedBy
from steelyard.records.estimate import Estimate
from steelyard.records.workload import Objective


@dataclass(frozen=True, slots=True, kw_only=True)
class ServingPlanQuestion(ServedBy):
    """A model to be served within an objective, on any of some devices, at most so many of them."""

    model: str
    devices: tuple[str, ...]
    max_devices: int = 8
    load: str = "chat"  # a preset of the catalogue, or a trace file
    isl_tokens: float | None = None  # of every request, in place of the preset's lengths
    osl_tokens: float | None = None
    request_rate_per_s: float | None = None  # peak demand; a trace's own, or as much as `max_devices` carry, when None
    mean_request_rate_per_s: float | None = None  # in place of it: the mean, of which the peak is a multiple
    peak_to_mean_ratio: float | None = None  # the preset's or the trace's when None
    objective: Objective = field(default_factory=Objective)
    weight_dtypes: tuple[str, ...] = ()  # as stored when empty
    kv_dtype: str | None = None
    separate: bool = True  # also try prefill and decoding on separate replicas
    pricing: str = "on_demand"
    usd_per_device_s: Mapping[str, float] = field(default_factory=dict)  # the user's own, by device
    as_of: date | None = None  # the newest prices when None
    draws: int = 10
    seed: int = 0

    def inputs(self) -> dict[str, Any]:
        values = dataclasses.asdict(self)
        return values | {"as_of": None if self.as_of is None else self.as_of.isoformat()}


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """One unit that can be repeated: a replica, or a group of separate prefill and decode workers."""

    device_id: str
    deployment: inference.Deployment  # of a replica, or of a decode worker
    max_sequences: int | None = None  # in a step of it; the engine's when None
    prefill: inference.Deployment | None = None  # of separate prefill workers
    prefill_replicas: int = 0
    decode_replicas: int = 0
    transfer_s_per_token: float = 0.0  # of the KV cache from one to the other
    bound_request_per_s: float  # closed form

    @property
    def num_devices(self) -> int:
        if self.prefill is None:
            return self.deployment.num_devices
        return self.prefill_replicas * self.prefill.num_devices + self.decode_replicas * self.deployment.num_devices

    @property
    def name(self) -> str:
        if self.prefill is None:
            limit = "" if self.max_sequences is None else f" batch {self.max_sequences}"
            return f"{self.device_id} {cut(self.deployment)} {self.deployment.weight_dtype}{limit}"
        return (
            f"{self.device_id} {self.deployment.weight_dtype}, {self.prefill_replicas} x {cut(self.prefill)} prefill + "
            f"{self.decode_replicas} x {cut(self.deployment)} decode"
        )


def cut(deployment: inference.Deployment) -> str:
    """Return how a replica is cut, as people write it: "tp4 dp2 ep8"."""
    ways = [f"{name}{getattr(deployment, name)}" for name in ("tp", "pp", "dp", "ep") if getattr(deployment, name) > 1]
    return " ".join(ways) or "tp1"


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanPoint:
    """One simulated operating point of a candidate."""

    request_rate_per_s: float
    ttft_s: float  # at the objective's percentile
    tpot_s: float
    tokens_per_s_per_user: float  # 1 / median TPOT; of answers of one token, 1 / median TTFT
    tokens_per_s_per_device: float
    energy: EnergySplit  # per output token
    meets: bool

    def to_dict(self) -> dict[str, Any]:
        plain = {name: getattr(self, name) for name in self.__dataclass_fields__ if name != "energy"}
        return plain | {"it_energy_j_per_token": self.energy.it_j, "energy_per_token": self.energy.to_dict()}


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanOption:
    """A candidate at the largest simulated rate that keeps the objective, repeated for the demand."""

    candidate: Candidate
    at: PlanPoint
    points: tuple[PlanPoint, ...]  # by rate
    units: int
    energy: EnergySplit  # per output token, of so many under the demand
    usd_per_device_s: float | None  # median over providers
    usd_per_hour: Estimate | None
    usd_per_output_mtoken: Estimate | None  # at the peak
    usd_per_output_mtoken_at_mean: Estimate | None  # the same fleet at the mean load
    usable: bool  # within the devices allowed

    @property
    def num_devices(self) -> int:
        return self.units * self.candidate.num_devices

    def usd_per_mtoken(self, point: PlanPoint) -> float | None:
        """Return the cost of a million output tokens at one of its points; None where the device has no price."""
        if self.usd_per_device_s is None:
            return None
        return self.usd_per_device_s / point.tokens_per_s_per_device * 1e6


@dataclass(frozen=True, slots=True, kw_only=True)
class Replay:
    """What the cheapest option does under the trace itself, its peaks and lulls."""

    num_requests: int
    ttft_s: float  # at the objective's percentile
    tpot_s: float
    slo_attainment_ratio: float
    prefix_hit_ratio: float
    meets: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ServingPlan:
    """The options that keep the objective, cheapest first, and how the search went."""

    question: ServingPlanQuestion
    load_label: str
    request_rate_per_s: float | None  # peak demand
    peak_to_mean_ratio: float
    options: tuple[PlanOption, ...]
    fastest: PlanOption
    least_energy: PlanOption
    front: tuple[tuple[str, PlanPoint], ...]  # candidate, point: no other is better for user and device alike
    why: tuple[str, ...]  # the others lost
    ranges: Mapping[str, Estimate]  # of the cheapest at its rate, over draws of the step-time residual
    met_probability: float  # share of those draws that keep the objective
    rents: tuple[economics.RentalPrice, ...]  # of the devices that have a price
    replay: Replay | None  # of a trace
    kv_transfer_s: float  # of the cheapest's mean prompt from prefill to decode worker; 0 where one replica does both
    devices: tuple[DeviceAccount, ...]  # what came of each, in the order asked
    longest_tokens: float  # prompt and answer of the longest request planned for
    num_candidates: int
    num_simulations: int
    elapsed_s: float
    sources: tuple[str, ...]
    warnings: tuple[str, ...]

    @property
    def cheapest(self) -> PlanOption:
        return self.options[0]
