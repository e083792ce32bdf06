"""The scenario a user states: demand, objective, quality, routes and prices. Plain SI floats once validated.

Every class is one mapping of the YAML file; where a field is named differently there, its key is the alias.
`scenario_file.load_scenario` reads one from a file and checks the names in it against the catalogue.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import (
    BeforeValidator,
    Field,
    field_serializer,
    model_validator,
)

from steelyard.compare import scenario_fields as fields
from steelyard.compare.scenario_lengths import (
    JointShareTable,
    LengthStats,
    RequestLengths,
    StatedLengths,
    TraceLengths,
)
from steelyard.compare.scenario_routes import (
    ApiRoute,
    FinetuneRoute,
    HostedFinetuneRoute,
    HybridRoute,
    PretrainRoute,
    RouteName,
    Routes,
    ServeRoute,
)
from steelyard.records.spec import Spec, at_key
from steelyard.records.spec_fields import Text, text, whole
from steelyard.records.workload import Objective
from steelyard.training import DEFAULT_LAW

__all__ = [
    "ApiPriceSpec",
    "ApiRoute",
    "Assumption",
    "Demand",
    "FinetuneRoute",
    "HostedFinetuneRoute",
    "HybridRoute",
    "JointShareTable",
    "LengthStats",
    "Limit",
    "Limits",
    "LossMap",
    "ObjectiveSpec",
    "PretrainRoute",
    "Prices",
    "Quality",
    "Routes",
    "Scenario",
    "Score",
    "ServeRoute",
    "StatedLengths",
    "TraceLengths",
]


class Demand(Spec):
    """How many requests there are, of which lengths, and how both change."""

    requests_per_day: fields.RequestsPerDay
    growth_per_month_ratio: fields.Growth = Field(0.0, alias="growth_per_month")
    growth_range: tuple[fields.Growth, fields.Growth] | None = None  # p10 and p90 of the monthly growth
    peak_to_mean_ratio: fields.Peak | None = Field(None, alias="peak_to_mean")
    cached_input_ratio: fields.Share = Field(0.0, alias="cached_input")
    deferrable_ratio: fields.Share = Field(0.0, alias="deferrable")  # of the requests: can wait for a day
    lengths: RequestLengths

    @property
    def growth_low_ratio(self) -> float:
        return self.growth_range[0] if self.growth_range else self.growth_per_month_ratio

    @property
    def growth_high_ratio(self) -> float:
        return self.growth_range[1] if self.growth_range else self.growth_per_month_ratio

    @model_validator(mode="after")
    def _growth_in_order(self) -> Self:
        if not self.growth_low_ratio <= self.growth_per_month_ratio <= self.growth_high_ratio:
            raise at_key("growth_range", "does not hold growth_per_month; allowed: [low, high] around it")
        return self


MAX_DRAWN_MONTHS = 120_000  # draws x months: what stays within seconds and a few hundred megabytes
MAX_GROWTH = 1e6  # of demand over the horizon


class Limit(Spec):
    """A latency limit at a percentile of requests."""

    limit_s: fields.Time = Field(alias="limit")
    percentile: fields.Percentile = 95.0


class ObjectiveSpec(Spec):
    """What the user asks of latency; nothing where absent."""

    ttft: Limit | None = None
    tpot: Limit | None = None

    def to_objective(self) -> Objective:
        """Return the limits as the record the inference room takes; infinity where nothing is asked."""
        anything = Limit.model_construct(limit_s=math.inf, percentile=95.0)
        ttft, tpot = self.ttft or anything, self.tpot or anything
        return Objective(
            ttft_s=ttft.limit_s,
            ttft_percentile=ttft.percentile,
            tpot_s=tpot.limit_s,
            tpot_percentile=tpot.percentile,
        )


class Score(Spec):
    """The user's own score of one option, with its range and what it rests on; or just a number in YAML."""

    score: fields.Points
    low: fields.Points | None = None
    high: fields.Points | None = None
    basis: Text = "stated"

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.low is not None and self.low > self.score:
            raise at_key("low", "above score; allowed: low <= score <= high")
        if self.high is not None and self.high < self.score:
            raise at_key("high", "below score; allowed: low <= score <= high")
        return self


class LossMap(Spec):
    """Scores measured on models of known loss, or size and tokens: what a predicted loss is worth on the scale."""

    points: Annotated[Path, BeforeValidator(lambda value: Path(text(value)))]
    law: Text = DEFAULT_LAW  # whose losses they are; it predicts that of the model to be trained


def _score(value: Any) -> Any:
    return value if isinstance(value, (Mapping, Score)) else {"score": value}


class Quality(Spec):
    """The scale on which options are scored, the floor, and the user's own scores by option or route."""

    scale: Text
    floor: fields.Points | None = None
    scores: dict[str, Annotated[Score, BeforeValidator(_score)]] = Field(default_factory=dict)
    loss_map: LossMap | None = None  # for the model that is pretrained, which nobody could score yet


class Limits(Spec):
    """What no route may break, whatever it saves; such a route is still priced, and out of the running."""

    budget_usd: fields.Usd | None = Field(None, alias="budget")  # of the whole horizon
    first_answer_s: fields.Wait | None = Field(None, alias="first_answer")
    ruled_out: dict[RouteName, Text] = Field(default_factory=dict)  # route -> why


class ApiPriceSpec(Spec):
    """The user's own price of an API option."""

    input_usd_per_token: fields.UsdPerToken = Field(alias="input")
    output_usd_per_token: fields.UsdPerToken = Field(alias="output")
    cached_input_usd_per_token: fields.UsdPerToken | None = Field(None, alias="cached_input")
    batch_ratio: fields.Share = Field(1.0, alias="batch")  # price of what can wait for a day, over these


class Prices(Spec):
    """The user's own contract; what stands here overrides the catalogue and counts as "stated"."""

    api: dict[str, ApiPriceSpec] = Field(default_factory=dict)
    devices: dict[str, dict[str, fields.UsdPerDevice]] = Field(default_factory=dict)  # device -> pricing -> price
    electricity_usd_per_j: fields.UsdPerJoule | None = Field(None, alias="electricity")
    grid_kgco2e_per_j: fields.GridIntensity | None = Field(None, alias="grid")
    pue_ratio: fields.Pue | None = Field(None, alias="pue")
    engineer_usd_per_s: fields.Salary | None = Field(None, alias="engineer")


class Assumption(Spec):
    """The user's own figure in place of one that is assumed for lack of a source, p10 and p90 around it."""

    value: fields.Assumed
    low: fields.Assumed | None = None
    high: fields.Assumed | None = None

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if not self.range[0] <= self.value <= self.range[1]:
            raise at_key("value", "not between low and high; allowed: low <= value <= high")
        return self

    @property
    def range(self) -> tuple[float, float]:
        """Return p10 and p90; the value itself where they are not stated."""
        return self.value if self.low is None else self.low, self.value if self.high is None else self.high


def _assumption(value: Any) -> Any:
    return value if isinstance(value, (Mapping, Assumption)) else {"value": value}


class Scenario(Spec):
    """Everything the comparison is asked: one outcome, and the routes to it."""

    name: Text
    model: Text
    horizon_months: fields.Months = Field(24, alias="horizon")
    region: Text
    as_of: fields.Day | None = None
    demand: Demand
    objective: ObjectiveSpec = ObjectiveSpec()
    quality: Quality
    limits: Limits = Limits.model_validate({})
    routes: Routes
    prices: Prices = Field(default_factory=lambda: Prices.model_validate({}))
    assumptions: dict[str, Annotated[Assumption, BeforeValidator(_assumption)]] = Field(default_factory=dict)
    draws: Annotated[int, whole("a number of draws", 1, 5000)] = 400
    seed: Annotated[int, whole("a seed", 0, 2**32 - 1)] = 0
    base_dir: Path = Field(Path(), exclude=True)  # what relative paths in it are relative to

    @model_validator(mode="after")
    def _within_reason(self) -> Self:
        if self.draws * self.horizon_months > MAX_DRAWN_MONTHS:
            most = MAX_DRAWN_MONTHS // self.horizon_months
            raise at_key("draws", f"{self.draws} draws of {self.horizon_months} months; allowed: up to {most} draws")
        times = (1 + self.demand.growth_high_ratio) ** (self.horizon_months - 1)
        if times > MAX_GROWTH:
            problem = f"demand grows {times:.2g}-fold over the horizon; allowed: up to {MAX_GROWTH:g}-fold"
            raise at_key("demand.growth_per_month", f"{problem}, by slower growth or a shorter horizon")
        return self

    @field_serializer("as_of")
    def _iso(self, value: date | None) -> str | None:
        return None if value is None else value.isoformat()

    def to_dict(self) -> dict[str, Any]:
        """Return the scenario with its YAML keys and SI values; `Scenario.model_validate` takes it back."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)
