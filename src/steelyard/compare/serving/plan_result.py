"""What a search over serving deployments is asked, and what it finds."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from steelyard import inference
from steelyard.records.estimate import Estimate
from steelyard.records.workload import Objective


@dataclass(frozen=True, slots=True, kw_only=True)
class ServingPlanQuestion:
    """A model to be served within an objective, on any of some devices, at most so many of them."""

    model: str
    devices: tuple[str, ...]
    max_devices: int = 8
    load: str = "chat"
    isl_tokens: float | None = None  # of every request, in place of the preset's lengths
    osl_tokens: float | None = None
    request_rate_per_s: float | None = None  # peak demand; without one, as much as `max_devices` carry
    peak_to_mean_ratio: float | None = None  # the preset's when None
    objective: Objective = field(default_factory=Objective)
    weight_dtypes: tuple[str, ...] = ()  # as stored when empty
    kv_dtype: str | None = None
    engine: str = inference.DEFAULT_ENGINE
    separate: bool = True  # also try prefill and decoding on separate replicas
    pricing: str = "on_demand"
    draws: int = 10
    seed: int = 0

    def inputs(self) -> dict[str, Any]:
        return dataclasses.asdict(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """One unit that can be repeated: a replica, or a group of prefill and decode replicas."""

    device_id: str
    deployment: inference.Deployment
    prefill_replicas: int = 0  # 0: one replica does both
    decode_replicas: int = 0
    bound_request_per_s: float  # closed form

    @property
    def num_devices(self) -> int:
        return self.deployment.num_devices * max(1, self.prefill_replicas + self.decode_replicas)

    @property
    def name(self) -> str:
        ways = self.deployment
        cut = " ".join(f"{name}{getattr(ways, name)}" for name in ("tp", "pp", "dp", "ep") if getattr(ways, name) > 1)
        apart = f", {self.prefill_replicas} prefill + {self.decode_replicas} decode" if self.decode_replicas else ""
        return f"{self.device_id} {cut or 'tp1'} {ways.weight_dtype}{apart}"


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanPoint:
    """One simulated operating point of a candidate."""

    request_rate_per_s: float
    ttft_s: float  # at the objective's percentile
    tpot_s: float
    tokens_per_s_per_user: float  # 1 / median TPOT
    tokens_per_s_per_device: float
    it_energy_j_per_token: float
    meets: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanOption:
    """A candidate at the largest simulated rate that keeps the objective, repeated for the demand."""

    candidate: Candidate
    at: PlanPoint
    points: tuple[PlanPoint, ...]
    units: int
    usd_per_hour: Estimate | None
    usd_per_output_mtoken: Estimate | None  # at the peak
    usd_per_output_mtoken_at_mean: Estimate | None  # the same fleet at the mean load
    usable: bool  # within the devices allowed

    @property
    def num_devices(self) -> int:
        return self.units * self.candidate.num_devices


@dataclass(frozen=True, slots=True, kw_only=True)
class ServingPlan:
    """The options that keep the objective, cheapest first, and how the search went."""

    question: ServingPlanQuestion
    options: tuple[PlanOption, ...]
    fastest: PlanOption
    least_energy: PlanOption
    front: tuple[tuple[str, PlanPoint], ...]  # candidate, point: no other is better for user and device alike
    why: tuple[str, ...]  # the others lost
    ranges: Mapping[str, Estimate]  # of the cheapest at its rate, over draws of the step-time residual
    met_probability: float  # share of those draws that keep the objective
    refused: tuple[str, ...]
    longest_tokens: float  # prompt and answer of the longest request planned for
    num_candidates: int
    num_simulations: int
    elapsed_s: float
    sources: tuple[str, ...]
    warnings: tuple[str, ...]

    @property
    def cheapest(self) -> PlanOption:
        return self.options[0]
