"""Options that training and its measurement share: what a device costs, and how fast it could be."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeVar

import click

from steelyard.cli.quantities import DEVICE_PRICE, FLOP_RATE
from steelyard.errors import OutsideProgramError

F = TypeVar("F", bound=Callable[..., Any])


def economy_options(command: F) -> F:
    """Add `--on`, `--price` and `--peak`."""
    for option in (
        click.option("--peak", type=FLOP_RATE, metavar="RATE", help="Peak of one device, for MFU, as '90 GFLOP/s'."),
        click.option("--price", type=DEVICE_PRICE, metavar="RATE", help="Price of one device, as '2.50 USD/device/h'."),
        click.option("--on", metavar="DEVICE", help="Take peak and rental price of this device of the catalogue."),
    ):
        command = option(command)
    return command


def task_options(command: F) -> F:
    """Add `--task` and `--task-folder`."""
    for option in (
        click.option("--task-folder", metavar="FOLDER", help="Task files of your own (YAML)."),
        click.option(
            "--task", multiple=True, metavar="NAME", help="Ask this task of lm-evaluation-harness at the end."
        ),
    ):
        command = option(command)
    return command


@dataclass(frozen=True)
class Economy:
    """What the options say of a device."""

    on: str | None
    price_usd_per_device_s: float | None
    stated_flop_per_s: float | None

    @cached_property
    def usd_per_device_s(self) -> float | None:
        """Return the price of a device, None where none was given."""
        if self.price_usd_per_device_s is not None:
            return self.price_usd_per_device_s
        if self.on is None:
            return None
        from steelyard.economics import rental_price

        return float(rental_price(self.on).usd_per_device_s)

    def cost_usd(self, device_s: Any) -> float | None:
        """Return what device time costs, None without a price."""
        if self.usd_per_device_s is None:
            return None
        from steelyard.economics import rental_cost_usd

        return float(rental_cost_usd(device_s, self.usd_per_device_s))

    def peak_flop_per_s(self, events: Iterable[Any]) -> float | None:
        """Return the peak of a device at the arithmetic a run says it uses, None where none was given."""
        if self.stated_flop_per_s is not None:
            return self.stated_flop_per_s
        dtype = next((event.dtype for event in events if hasattr(event, "dtype")), None)
        if self.on is None or dtype is None:
            return None
        from steelyard import device

        return float(device.peak_flop_per_s(device.load(self.on), dtype))


def needs_training_extra() -> None:
    """Say what is missing before anything begins.

    Raises:
        OutsideProgramError: PyTorch or what goes with it is not installed.
    """
    from importlib.util import find_spec

    missing = [name for name in ("torch", "transformers", "tokenizers", "safetensors") if find_spec(name) is None]
    if missing:
        raise OutsideProgramError(f"training needs {', '.join(missing)}; install them: pip install 'steelyard[run]'")
