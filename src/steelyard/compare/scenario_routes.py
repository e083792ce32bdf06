"""The routes of a scenario: what each needs to be weighed."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import model_validator

from steelyard.compare import scenario_fields as fields
from steelyard.compare.scenario_fields import Names
from steelyard.records.spec import Spec, at_key
from steelyard.records.spec_fields import Text

Method = Literal["lora", "full"]
RouteName = Literal["api", "hosted_finetune", "serve", "hybrid", "finetune", "pretrain"]
TO_API, TO_DEVICES = "api", "on_demand"


class Trained(Spec):
    """What every route with training in it states beside its run."""

    data_usd: fields.Usd = 0.0
    evaluation_usd: fields.Usd = 0.0
    refresh_months: fields.Count | None = None
    engineers: fields.People = 0.0

    @property
    def each_time_usd(self) -> float:
        """Return what each training costs beside its devices [USD]."""
        return self.data_usd + self.evaluation_usd


class ApiRoute(Spec):
    """Call an API: the options to weigh, as provider/model."""

    options: Names


class HostedFinetuneRoute(Trained):
    """Let a provider fine-tune and serve."""

    provider: Text
    model: Text
    method: Method = "lora"
    training_tokens: fields.Tokens
    runs: fields.Count = 1
    endpoint_devices: fields.Count = 1


class ServeRoute(Spec):
    """Serve an open model on rented or owned devices; every device and pricing is weighed."""

    model: Text | None = None  # None: the scenario's
    devices: Names
    pricing: Names = ("on_demand",)
    weight_dtype: Text | None = None  # None: as stored
    kv_dtype: Text = "bf16"
    max_devices_per_replica: fields.Count = 8
    engineers: fields.People = 0.0


class HybridRoute(Spec):
    """Serve the base load, send the overflow to an API (None: the cheapest of the API route) or to rented devices."""

    api: Text | None = None
    overflow: Names = (TO_API,)


class FinetuneRoute(Trained):
    """Fine-tune an open model, then serve it as the serve route does."""

    model: Text
    method: Method = "lora"
    training_tokens: fields.Tokens
    runs: fields.Count = 1
    device: Text
    num_devices: fields.Devices = 8
    pricing: Text = "on_demand"


class PretrainRoute(Trained):
    """Train a model of this shape from nothing, then serve it as the serve route does."""

    model: Text
    tokens: fields.Tokens
    device: Text
    num_devices: fields.Devices
    pricing: Text = "on_demand"
    rd_multiplier: fields.Multiplier = 1.0
    seq_tokens: fields.Tokens = 4096.0
    global_batch_tokens: fields.Tokens = 4e6


class Routes(Spec):
    """The routes to weigh; one that is absent is not considered."""

    api: ApiRoute | None = None
    hosted_finetune: HostedFinetuneRoute | None = None
    serve: ServeRoute | None = None
    hybrid: HybridRoute | None = None
    finetune: FinetuneRoute | None = None
    pretrain: PretrainRoute | None = None

    @model_validator(mode="after")
    def _enough(self) -> Self:
        if not any(getattr(self, key) for key in self.keys()):
            raise ValueError(f"no route to weigh; allowed: at least one of {', '.join(self.keys())}")
        if self.hybrid and not self.serve:
            raise at_key("hybrid", "has no base load to serve; next step: state routes.serve too")
        if self.hybrid and TO_API in self.hybrid.overflow and not self.hybrid.api and not self.api:
            raise at_key(
                "hybrid", "names no API; next step: state routes.hybrid.api, routes.api, or overflow: [on_demand]"
            )
        return self
