"""What one route comes to: money, devices, energy and time, as arrays over draws and months."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import numpy.typing as npt

from steelyard.arch import Model
from steelyard.compare.draws import Draw
from steelyard.compare.quality import Score
from steelyard.compare.result import Evidence
from steelyard.records.term import Term

ZERO: Draw = np.zeros((1, 1))
Tree = Callable[[], Term]
"""An explanation, built only when it is asked for."""
Words = Callable[[], str]
"""The same for a sentence."""


@dataclass(frozen=True, kw_only=True)
class Latency:
    """Latency of one answer [D, 1] at the percentiles of the objective (for an API: as measured by others)."""

    ttft_s: Draw
    tpot_s: Draw
    e2e_s: Draw
    evidence: Evidence
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class Training:
    """The training inside a route, once and over the horizon [D, 1]; all zero where nothing is trained."""

    usd: Draw = field(default_factory=lambda: ZERO)  # before the first answer
    refresh_usd: Draw = field(default_factory=lambda: ZERO)  # repeated within the horizon, in all
    wall_s: Draw = field(default_factory=lambda: ZERO)
    device_s: Draw = field(default_factory=lambda: ZERO)  # over the horizon
    energy_j: Draw = field(default_factory=lambda: ZERO)  # facility, over the horizon
    flop: Draw = field(default_factory=lambda: ZERO)
    num_devices: float = 0.0
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class PerDevice:
    """What one device of a fleet carries at the objective [D, 1]."""

    request_rate_per_s: Draw
    prefill_time_ratio: Draw  # share of the time that prompts take
    num_devices: int  # of one replica
    model: Model


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """One option of one route. Costs are nominal USD; `energy_j` is at the facility's meter."""

    route: str
    option: str
    score: Score
    monthly_usd: Draw  # [D, M] paid in each month, people and refreshes included
    upfront_usd: Draw  # [D, 1] paid before the first answer
    devices: Draw  # [D, M] serving devices rented or owned by the user
    serving_energy_j: Draw  # [D, M]
    serving_flop: Draw  # [D, M]
    first_answer_s: Draw  # [D, 1] from the decision to the first useful answer
    latency: Latency
    held: Words  # what is to be rented or bought
    tree: Tree  # of the total cost
    people_usd: Draw = field(default_factory=lambda: ZERO)  # [D, M] of `monthly_usd`
    owed_usd: Draw = field(default_factory=lambda: ZERO)  # [D, M] commitments that run on if one stops after a month
    capital_usd: Draw = field(
        default_factory=lambda: ZERO
    )  # [D, 1] to buy the devices of the first month; charged monthly
    per_device: PerDevice | None = None  # what one device of one's own fleet carries
    spilled_ratio: Draw | None = None  # [D, M] share of answers that overflow, of a hybrid
    autoscales: bool = False  # it overflows to devices by the hour: a route of its own even where everything does
    training: Training = field(default_factory=Training)
    energy_evidence: Evidence = "predicted"
    capacity_tree: Tree | None = None
    met: npt.NDArray[np.bool_] = field(default_factory=lambda: np.ones((1, 1), dtype=bool))  # the objective [D, 1]
    misses: str = ""  # why it cannot win, other than its quality
    notes: tuple[str, ...] = ()  # what to warn of
    assumed: tuple[str, ...] = ()  # what the prices rest on
    sources: tuple[str, ...] = ()

    @property
    def to_rent_or_buy(self) -> str:
        """Return what is to be rented or bought, in words."""
        return self.held()

    @property
    def left_over_usd(self) -> Draw:
        """Return what commitments cost after the horizon [D, 1]."""
        return self.owed_usd[:, -1:]

    @property
    def through_usd(self) -> Draw:
        """Return the money of the whole way through each month [D, M]: paid until then, and owed if one stops there."""
        spent: Draw = self.upfront_usd + self.monthly_usd.cumsum(axis=1) + self.owed_usd
        return spent

    @cached_property
    def total_usd(self) -> Draw:
        """Return the money of the whole horizon [D, 1]."""
        total: Draw = self.upfront_usd + self.monthly_usd.sum(axis=1, keepdims=True) + self.left_over_usd
        return total

    @property
    def serving_usd(self) -> Draw:
        """Return the money of devices, electricity and tokens that answer, without people and training [D, 1]."""
        monthly: Draw = (self.monthly_usd - self.people_usd).sum(axis=1, keepdims=True)
        return monthly + self.left_over_usd - self.training.refresh_usd

    @property
    def energy_j(self) -> Draw:
        total: Draw = self.training.energy_j + self.serving_energy_j.sum(axis=1, keepdims=True)
        return total

    @property
    def why_not(self) -> str:
        """Why it is out of the running; empty when it is in."""
        if self.misses:
            return self.misses
        if not self.score.passes:
            return "quality unknown" if self.score.value is None else "below the quality floor"
        return ""


@dataclass(frozen=True, kw_only=True)
class Unpriced:
    """An option that could not be evaluated, and why: no price, does not fit, objective out of reach."""

    route: str
    option: str
    reason: str
    score: Score


def choose(outcomes: list[Outcome | Unpriced]) -> Outcome | Unpriced | None:
    """Return a route's option: the cheapest in the running by median total, else the cheapest priced, else any."""
    priced = [outcome for outcome in outcomes if isinstance(outcome, Outcome)]
    running = [outcome for outcome in priced if not outcome.why_not]
    pool = running or priced
    if pool:
        return min(pool, key=lambda outcome: float(np.median(outcome.total_usd)))
    return outcomes[0] if outcomes else None


def nothing() -> str:
    return "nothing"


def median(values: Draw) -> float:
    return float(np.median(values))
