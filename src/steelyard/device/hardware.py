"""A device: what its vendor prints, and how much of that is reached."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np

from steelyard import catalog
from steelyard.device import efficiency as _efficiency
from steelyard.device.efficiency import Efficiency
from steelyard.records.system import Accelerator


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """One accelerator with its calibrated efficiency."""

    accelerator: Accelerator
    efficiency: Efficiency

    @property
    def id(self) -> str:
        return self.accelerator.id

    @property
    def name(self) -> str:
        return self.accelerator.name


def load(ref: str) -> Device:
    """Return the catalogue's device of this id or alias.

    Raises:
        UnknownError: The catalogue has no such accelerator.

    Example:
        >>> load("h100").id
        'h100-sxm5-80gb'
    """
    return from_accelerator(catalog.accelerator(ref))


def from_accelerator(accelerator: Accelerator) -> Device:
    """Return a device with the shipped calibration of its kind."""
    figures = catalog.calibration("device")
    return Device(accelerator=accelerator, efficiency=_efficiency.from_figures(figures, kinds(accelerator)))


def kinds(accelerator: Accelerator) -> tuple[str, ...]:
    """Return by what names calibration knows a device, the closest first.

    Matrix units whose 16-bit rate is held to half of what they could do (their 8-bit rate is four times as high, not
    twice) need little power: they run at their top clock, where others are slowed down to stay within their limit.
    """
    vendor = accelerator.vendor.casefold()
    peaks = accelerator.peak_flop_per_s
    half_rate = peaks.get("int8", 0.0) > 3.0 * peaks.get("bf16", np.inf)
    return (f"{vendor}-half-rate", vendor) if half_rate else (vendor,)


def reading_again(device: Device, touched_bytes: float) -> Device:
    """Return the device as work sees it that reads the same bytes over and over: what fits the cache stays in it.

    seconds per byte = kept / l2 bandwidth + (1 - kept) / memory bandwidth, kept = min(1, l2_bytes / touched_bytes)

    Args:
        device: Unchanged where the rate of its cache is not stated.
        touched_bytes: Read in one round, for example all weights in a step of decoding.

    Assumes:
        Whatever is kept is as likely one part as another; a cache that drops the oldest first keeps less.

    Example:
        >>> reading_again(load("h100"), 1e9) == load("h100")
        True
    """
    card = device.accelerator
    if not card.l2_bytes_per_s or not touched_bytes:
        return device
    kept = min(1.0, card.l2_bytes / touched_bytes)
    rate = 1.0 / (kept / card.l2_bytes_per_s + (1.0 - kept) / card.hbm_bytes_per_s)
    return dataclasses.replace(device, accelerator=dataclasses.replace(card, hbm_bytes_per_s=rate))


def draw_efficiency(device: Device, rng: np.random.Generator, draws: int) -> Device:
    """Return the device with `draws` joint draws [D] of its efficiency in place of the middle values.

    Every time computed with it has one more axis [D], last.

    Example:
        >>> many = draw_efficiency(load("h100"), np.random.default_rng(0), 5)
        >>> many.efficiency.matmul_ratio.shape
        (5,)
    """
    drawn = _efficiency.draw(catalog.calibration("device"), kinds(device.accelerator), rng, draws)
    return dataclasses.replace(device, efficiency=drawn)
