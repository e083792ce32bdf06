"""What is served, on what, for what load, and how it is paid: the inputs of a prediction."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from typing import Any

from steelyard import arch, device, economics, inference
from steelyard.compare.draws import Draws
from steelyard.compare.rent import rental_of
from steelyard.errors import InputError


@dataclass(frozen=True, kw_only=True)
class ServingQuestion:
    """One replica of a model under one load; with neither `users` nor a rate, at its largest batch.

    Formats are those that the model is stored in, and a 16-bit cache, unless stated. Prices are those of the catalogue
    at `as_of`, the newest when None, or the user's own `usd_per_device_s`.
    """

    model_ref: str
    device_ref: str
    isl_tokens: float
    osl_tokens: float
    users: float | None = None
    request_rate_per_s: float | None = None
    tp: int = 1
    pp: int = 1
    dp: int = 1
    ep: int = 1
    weight_dtype: str | None = None
    kv_dtype: str | None = None
    engine: str = inference.DEFAULT_ENGINE
    engine_version: str = ""
    cached_input_ratio: float = 0.0
    speculative_tokens: int = 0
    acceptance_ratio: float = 0.7
    pricing: str = economics.CONTRACT
    usd_per_device_s: float | None = None
    region: str = "United States"
    as_of: date | None = None
    draws: int = 1000
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse what no load can have.

        Raises:
            InputError: The first field that is out of its range; says which range.
        """
        if self.users is not None and self.request_rate_per_s is not None:
            raise InputError("a load is either users (a closed loop) or a request rate, not both")
        limits = {
            "isl_tokens": (1.0, 1e8),
            "osl_tokens": (1.0, 1e8),
            "users": (1.0, 1e7),
            "request_rate_per_s": (1e-6, 1e7),
            "cached_input_ratio": (0.0, 1.0),
            "usd_per_device_s": (0.0, 1e6),
            "draws": (10, 100_000),
        }
        for name, (low, high) in limits.items():
            value = getattr(self, name)
            if value is not None and not low <= value <= high:
                raise InputError(f"{name} is {value:g}; allowed: {low:g} to {high:g}")

    @cached_property
    def model(self) -> arch.Model:
        return arch.load(self.model_ref)

    @cached_property
    def device(self) -> device.Device:
        return device.load(self.device_ref)

    @cached_property
    def serving_engine(self) -> inference.Engine:
        return inference.engine_for(self.device, self.engine, self.engine_version)

    @cached_property
    def deployment(self) -> inference.Deployment:
        """How the replica is cut.

        Raises:
            InputError: Ways that the model or the engine does not allow.
        """
        stored = inference.deployment_for(self.model, self.tp, weight_dtype=self.weight_dtype, kv_dtype=self.kv_dtype)
        layout = dataclasses.replace(stored, pp=self.pp, dp=self.dp, ep=self.ep)
        inference.require_cut(self.model, layout, self.serving_engine)
        return layout

    @property
    def speculation(self) -> inference.Speculation:
        return inference.Speculation(tokens=self.speculative_tokens, acceptance_ratio=self.acceptance_ratio)

    @property
    def drawn(self) -> Draws:
        return Draws(self.draws, self.seed)

    @cached_property
    def rental(self) -> economics.RentalPrice:
        """What a rented device costs.

        Raises:
            InputError: A kind of contract that no device has.
            UnknownError: The catalogue has no price of that kind and date.
        """
        return rental_of(self.device, self.pricing, usd_per_device_s=self.usd_per_device_s, as_of=self.as_of)

    def inputs(self) -> dict[str, Any]:
        """Return the inputs as plain values, the defaults included."""
        values = {item.name: getattr(self, item.name) for item in dataclasses.fields(self)}
        return {name: value.isoformat() if isinstance(value, date) else value for name, value in values.items()}
