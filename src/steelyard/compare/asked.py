"""What a question about one model on one kind of device states, whichever of the two activities it is about."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from typing import Any

from steelyard import arch, device, economics
from steelyard.compare.draws import Draws
from steelyard.compare.rent import rental_of
from steelyard.errors import InputError


@dataclass(frozen=True, kw_only=True)
class Asked:
    """A model, a device, how it is paid, and the draws behind ranges.

    Prices are those of the catalogue at `as_of`, the newest when None, or the user's own `usd_per_device_s`.
    """

    model_ref: str
    device_ref: str
    pricing: str = economics.CONTRACT
    usd_per_device_s: float | None = None
    as_of: date | None = None
    draws: int = 1000
    seed: int = 0

    def require(self, limits: Mapping[str, tuple[float, float]]) -> None:
        """Refuse what lies outside of limits, by field the least and the largest value; None is taken everywhere.

        Raises:
            InputError: The first field that does; says which range.
        """
        for name, (low, high) in {**limits, "usd_per_device_s": (0.0, 1e6), "draws": (10, 100_000)}.items():
            value = getattr(self, name)
            if value is not None and not low <= value <= high:
                raise InputError(f"{name} is {value:g}; allowed: {low:g} to {high:g}")

    @cached_property
    def model(self) -> arch.Model:
        return arch.load(self.model_ref)

    @cached_property
    def device(self) -> device.Device:
        return device.load(self.device_ref)

    @property
    def drawn(self) -> Draws:
        return Draws(self.draws, self.seed)

    @cached_property
    def rental(self) -> economics.RentalPrice:
        """What a rented device costs: as stated, else by the catalogue for that kind of contract and day.

        Raises:
            InputError: A kind of contract that no device has.
            UnknownError: The catalogue has no price of that kind and date.
        """
        return rental_of(self.device, self.pricing, usd_per_device_s=self.usd_per_device_s, as_of=self.as_of)

    def inputs(self) -> dict[str, Any]:
        """Return the inputs as plain values, the defaults included."""
        return {item.name: _plain(getattr(self, item.name)) for item in dataclasses.fields(self)}


def _plain(value: Any) -> Any:
    return value.isoformat() if isinstance(value, date) else dict(value) if isinstance(value, Mapping) else value
