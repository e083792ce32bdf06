"""Bytes of device memory that a model can have."""

from __future__ import annotations

from steelyard.device.hardware import Device
from steelyard.units import Array


def usable_memory_bytes(device: Device) -> Array:
    """Return the memory for weights, caches and activations [bytes].

    usable = printed capacity * usable_memory_ratio. The rest goes to the driver's context, the communication
    library, the framework and holes of the allocator.

    Example:
        >>> from steelyard.device import load
        >>> f"{usable_memory_bytes(load('h100')):.3g}"  # 90% of 80 GB
        '7.2e+10'
    """
    return device.accelerator.hbm_bytes * device.efficiency.usable_memory_ratio
