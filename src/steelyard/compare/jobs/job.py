"""What is to be trained, on what, and how it is paid: the inputs of a prediction and of a plan."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from typing import Any

import numpy as np

from steelyard import arch, catalog, device, economics, training
from steelyard.compare.draws import Draws
from steelyard.errors import InputError, unknown

PRETRAIN = "pretrain"
KINDS = (PRETRAIN, *training.METHODS)


@dataclass(frozen=True, kw_only=True)
class TrainingJob:
    """A training job, whatever its layout.

    `kind` is "pretrain" (all weights, from nothing) or the method of a fine-tuning ("full", "lora"). Prices are those
    of the catalogue at `as_of`, the newest when None, or the user's own `usd_per_device_s`.
    """

    model_ref: str
    device_ref: str
    tokens: float  # trained on, repetitions included
    seq_tokens: float = 4096.0
    global_batch_tokens: float = 4_194_304.0
    compute_dtype: str = "bf16"
    kind: str = PRETRAIN
    unique_tokens: float | None = None  # distinct ones among `tokens`; all of them when None
    bytes_per_token: float | None = None  # of the tokenizer on the corpus, for bits per byte
    pricing: str = economics.CONTRACT
    usd_per_device_s: float | None = None
    region: str = "United States"
    as_of: date | None = None
    draws: int = 1000
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse what no job can have.

        Raises:
            InputError: The first field that is out of its range; says which range.
        """
        if self.kind not in KINDS:
            raise InputError(f"method is {self.kind!r}; allowed: {', '.join(KINDS)}")
        limits = {
            "tokens": (1.0, 1e18),
            "unique_tokens": (1.0, 1e18),
            "bytes_per_token": (0.1, 100.0),
            "usd_per_device_s": (0.0, 1e6),
            "draws": (10, 100_000),
        }
        for name, (low, high) in limits.items():
            value = getattr(self, name)
            if value is not None and not low <= value <= high:
                raise InputError(f"{name} is {value:g}; allowed: {low:g} to {high:g}")

    @property
    def method(self) -> str:
        return "full" if self.kind == PRETRAIN else self.kind

    @cached_property
    def model(self) -> arch.Model:
        return arch.load(self.model_ref)

    @cached_property
    def device(self) -> device.Device:
        return device.load(self.device_ref)

    @cached_property
    def step_job(self) -> training.Job:
        """The part of the job that a step and its search need."""
        return training.Job(
            model=self.model,
            device=self.device,
            seq_tokens=self.seq_tokens,
            global_batch_tokens=self.global_batch_tokens,
            compute_dtype=self.compute_dtype,
            method=self.method,
        )

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
        kinds = {economics.CONTRACT, *(row["kind"] for row in catalog.table("gpu_prices").rows)}
        if self.pricing not in kinds:
            raise InputError(unknown("kind of rental", self.pricing, kinds))
        if self.usd_per_device_s is None:
            return economics.rental_price(self.device.accelerator, self.pricing, as_of=self.as_of)
        day = self.as_of or date.today()  # noqa: DTZ011 - the user's day
        return economics.stated_price(self.usd_per_device_s, device_id=self.device.id, kind=self.pricing, as_of=day)

    @property
    def batch_sequences(self) -> int:
        """Sequences of the global batch asked for."""
        return max(round(self.global_batch_tokens / self.seq_tokens), 1)

    def inputs(self) -> dict[str, Any]:
        """Return the inputs as plain values, the defaults included."""
        return {item.name: _plain(getattr(self, item.name)) for item in dataclasses.fields(self)}


def _plain(value: Any) -> Any:
    return value.isoformat() if isinstance(value, date) else value


def layout_dict(layout: training.Layout) -> dict[str, int | str]:
    """Return one layout as plain values, its devices first."""
    values = {item.name: np.asarray(getattr(layout, item.name)).item() for item in dataclasses.fields(layout)}
    return {"num_devices": int(np.asarray(layout.num_devices))} | values


def layout_text(layout: training.Layout) -> str:
    """Return one layout in a line that `--layout` takes.

    Example:
        >>> layout_text(training.Layout(tp=8, dp=4, global_batch=32, zero_stage=1))
        'tp=8,dp=4,zero=1,micro-batch=1,recompute=none'
    """
    names = {"tp": "tp", "pp": "pp", "vpp": "vpp", "cp": "cp", "ep": "ep", "dp": "dp"}
    values = layout_dict(layout)
    parts = [f"{shown}={values[name]}" for name, shown in names.items() if values[name] != 1]
    zero, micro = values["zero_stage"], values["micro_batch"]
    return ",".join([*parts, f"zero={zero}", f"micro-batch={micro}", f"recompute={values['recompute']}"])
