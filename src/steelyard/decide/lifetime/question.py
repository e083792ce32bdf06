"""What is asked: the loss to reach, the tokens to serve, and on what both are to be done."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from functools import cached_property
from typing import Any

import numpy as np

from steelyard import arch, catalog, device, economics, inference, training
from steelyard.compare.draws import Draws
from steelyard.compare.rent import rental_of
from steelyard.errors import InputError, UnknownError, unknown
from steelyard.records.workload import Lengths, Objective, Workload
from steelyard.units import SECONDS_PER_DAY

SEQ_TOKENS = 4096.0
GLOBAL_BATCH_TOKENS = 4_194_304.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """The loss of a model of so many parameters on so many tokens: absolute losses differ between laws, this does not.

    `label` says whose it is; "" where only a loss was given, and the pair is the compute-optimal one of that loss.
    """

    params: float
    tokens: float
    label: str = ""

    @classmethod
    def of_loss(cls, loss_nats: float) -> Target:
        """Return the compute-optimal pair of a loss, in the units of the default law.

        Raises:
            InputError: A loss that the law cannot reach.
        """
        best = training.lifetime_optimal(loss_nats)
        return cls(params=float(best.params), tokens=float(best.tokens))

    @classmethod
    def of_model(cls, name: str) -> Target:
        """Return the pair of a published model.

        Raises:
            UnknownError: The catalogue has no such run; names the nearest.
            InputError: A mixture of experts, whose loss no law here predicts.

        Example:
            >>> f"{Target.of_model('Llama 3.1 8B').tokens:.3g}"
            '1.5e+13'
        """
        rows = {
            row["model"].casefold(): row
            for row in catalog.table("trained_models").rows
            if {"n_params", "tokens"} <= set(row.figures)
        }
        row = rows.get(name.strip().casefold())
        if row is None:
            known = [found["model"] for found in rows.values()]
            raise UnknownError(unknown("trained model", name, known, next_step="or state PARAMS,TOKENS"))
        params = row.value("n_params")
        if "active_params" in row.figures and row.value("active_params") != params:
            raise InputError(f"{row['model']} is a mixture of experts; the laws of loss here are of dense models")
        return cls(params=params, tokens=row.value("tokens"), label=row["model"])


@dataclass(frozen=True, kw_only=True)
class ModelQuestion:
    """Which model to train for a loss and a lifetime of serving.

    Prices are those of the catalogue at `as_of`, the newest when None, or the user's own in `usd_per_device_s` by
    device. Without `served_tokens` only the load that the target's own size implies is looked for.
    """

    target: Target
    served_tokens: float | None = None  # input and output, over the model's life
    shape_ref: str = "llama-3.1-8b"  # models of other sizes are this one, wider and deeper in proportion
    devices: tuple[str, ...] = ("h100", "h200", "b200")  # each of training and serving takes the cheapest
    weight_dtypes: tuple[str, ...] = ("bf16", "fp8")  # served in; a narrower one is taken to cost no quality
    load: str = "chat"
    isl_tokens: float | None = None
    osl_tokens: float | None = None
    peak_to_mean_ratio: float | None = None  # of the served load; the preset's when None
    objective: Objective = field(default_factory=Objective)
    deadline_s: float = 90 * SECONDS_PER_DAY  # of the final run; sets its number of devices
    rd_multiplier: float = 1.0
    unique_tokens: float | None = None  # distinct ones at hand; unlimited when None
    pricing: str = economics.CONTRACT
    usd_per_device_s: Mapping[str, float] = field(default_factory=dict)
    as_of: date | None = None
    draws: int = 200
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse what nobody can ask.

        Raises:
            InputError: The first field that is out of its range; says which range.
        """
        limits = {
            "served_tokens": (1.0, 1e20),
            "unique_tokens": (1e6, 1e18),
            "peak_to_mean_ratio": (1.0, 1000.0),
            "deadline_s": (SECONDS_PER_DAY, 3650 * SECONDS_PER_DAY),
            "rd_multiplier": (1.0, 100.0),
            "draws": (10, 10_000),
        }
        stated = {name: getattr(self, name) for name in limits}
        stated |= {"params": self.target.params, "tokens": self.target.tokens}
        for name, (low, high) in (limits | {"params": (1e6, 1e13), "tokens": (1e8, 1e16)}).items():
            if stated[name] is not None and not low <= stated[name] <= high:
                raise InputError(f"{name} is {stated[name]:g}; allowed: {low:g} to {high:g}")
        if (self.isl_tokens is None) != (self.osl_tokens is None):
            raise InputError("lengths need both prompt and answer tokens (--isl and --osl), or neither")
        used = {device.load(ref).id for ref in self.devices}
        strangers = {device.load(ref).id for ref in self.usd_per_device_s} - used
        if strangers:
            raise InputError(f"a price is stated for {', '.join(sorted(strangers))}, which nothing here runs on")

    @cached_property
    def shape(self) -> arch.Model:
        """The model that is made wider and deeper.

        Raises:
            InputError: A mixture of experts: the laws of loss here are of dense models.
        """
        model = arch.load(self.shape_ref)
        if model.num_experts:
            raise InputError(f"{model.id} is a mixture of experts; allowed: a dense model, for example llama-3.1-8b")
        return model

    @cached_property
    def workload(self) -> Workload:
        return catalog.workload(self.load)

    @cached_property
    def lengths(self) -> Lengths:
        if self.isl_tokens is None or self.osl_tokens is None:
            return inference.lengths_from_workload(self.workload)
        return inference.lengths_from_stated({"fixed": self.isl_tokens}, {"fixed": self.osl_tokens})

    @property
    def tokens_per_request(self) -> float:
        return self.lengths.mean_isl_tokens + self.lengths.mean_osl_tokens

    @property
    def peak_to_mean(self) -> float:
        """What a fleet sized for the busiest hour is paid for, over what it does."""
        stated = self.peak_to_mean_ratio
        return self.workload.peak_to_mean_ratio if stated is None else stated

    @property
    def unique(self) -> float:
        return np.inf if self.unique_tokens is None else self.unique_tokens

    @property
    def drawn(self) -> Draws:
        return Draws(self.draws, self.seed)

    def rental(self, on: device.Device) -> economics.RentalPrice:
        """Return what a device costs.

        Raises:
            InputError: A kind of contract that no device has.
            UnknownError: The catalogue has no price of that kind and date.
        """
        own = {device.load(ref).id: price for ref, price in self.usd_per_device_s.items()}
        return rental_of(on, self.pricing, usd_per_device_s=own.get(on.id), as_of=self.as_of)

    def inputs(self) -> dict[str, Any]:
        """Return the inputs as plain values, the defaults included."""
        values = {item.name: getattr(self, item.name) for item in dataclasses.fields(self)}
        plain = values | {"target": dataclasses.asdict(self.target), "objective": dataclasses.asdict(self.objective)}
        plain |= {"usd_per_device_s": dict(self.usd_per_device_s)}
        return {name: value.isoformat() if isinstance(value, date) else value for name, value in plain.items()}
