"""Bytes of device memory that a model can have."""

from __future__ import annotations

from steelyard.device.hardware import Device
from steelyard.units import Array


def usable_memory_bytes(device: Device) -> Array:
    """Return the memory that all of a process can take [bytes].

    usable = printed capacity * usable_memory_ratio. The driver's context, the communication library, the framework and
    holes of the allocator come out of it too.

    Example:
        >>> from steelyard.device import load
        >>> f"{usable_memory_bytes(load('h100')):.3g}"
        '8e+10'
    """
    return device.accelerator.hbm_bytes * device.efficiency.usable_memory_ratio
