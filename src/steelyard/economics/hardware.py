"""Whose price is asked for: catalogue ids, accelerators and calibrated devices are all taken."""

from __future__ import annotations

from typing import Any

from steelyard import catalog
from steelyard.records.system import Accelerator


def accelerator_of(device: Any) -> Accelerator:
    """Return the accelerator behind a catalogue id or alias, an `Accelerator`, or a device record that
    holds one.

    Raises:
        UnknownError: The catalogue has no such device.
    """
    if isinstance(device, str):
        return catalog.accelerator(device)
    if isinstance(device, Accelerator):
        return device
    held: Accelerator = device.accelerator
    return held
