"""At which rate a number format is computed on a device that may have no hardware for it."""

from __future__ import annotations

import dataclasses

from steelyard.device.hardware import Device
from steelyard.errors import UnknownError, unknown

_RATE_OF = {"mxfp4": "fp4", "nvfp4": "fp4"}
_RUNS_AS: dict[str, tuple[str, ...]] = {  # the format itself, then what its numbers are expanded to, in order
    "fp4": ("fp4", "bf16", "fp16", "fp32"),  # not fp8: kernels for narrow weights keep 16-bit activations
    "int4": ("bf16", "fp16", "fp32"),
    "fp8": ("fp8", "bf16", "fp16", "fp32"),
    "int8": ("int8", "bf16", "fp16", "fp32"),
    "w8a16": ("bf16", "fp16", "fp32"),
    "bf16": ("bf16", "fp16", "fp32"),
    "fp16": ("fp16", "bf16", "fp32"),
    "tf32": ("tf32", "fp32"),
    "fp32": ("fp32",),
}
_AS_WIDE = {"bf16", "fp16"}
_HALVINGS = {"fp8": 1, "int8": 1, "w8a16": 1, "fp4": 2, "int4": 2}  # of the 16 bits for which `matmul_ratio` holds


def effective_compute_dtype(device: Device, dtype: str) -> str:
    """Return the format that a matrix product asked for in `dtype` really runs in.

    A device without a rate for `dtype` reads the narrow numbers and expands them to a wider format that it
    has: fp8 on an A100 and mxfp4 on an H100 run at the bf16 rate, with fewer bytes to read. Nothing is made
    narrower; bf16 and fp16 stand in for each other.

    Raises:
        UnknownError: `dtype` is not a format, or the device has no rate to run it at.

    Example:
        >>> from steelyard.device import load
        >>> effective_compute_dtype(load("h100"), "mxfp4"), effective_compute_dtype(load("b200"), "mxfp4")
        ('bf16', 'fp4')
    """
    rates = device.accelerator.peak_flop_per_s
    name = _RATE_OF.get(dtype, dtype)
    if name not in _RUNS_AS:
        raise UnknownError(unknown("compute dtype", dtype, [*_RUNS_AS, *_RATE_OF]))
    for option in _RUNS_AS[name]:
        if option in rates:
            return option
    raise UnknownError(f"{device.id} has no rate for {dtype} or a wider format; it has {_listed(device)}")


def expanding_where_faster(device: Device) -> Device:
    """Return the device as kernels use it that expand narrow numbers wherever the wider format is computed faster.

    The rate of a format is then the best of its own and of the wider ones: a processor that multiplies fp16 slower
    than fp32, as libraries for training do when asked to, reads fp16 and multiplies fp32 in an engine that serves.

    Example:
        >>> from steelyard.device import load
        >>> expanding_where_faster(load("h100")) == load("h100")
        True
    """
    rates = device.accelerator.peak_flop_per_s
    best = {name: max(rates.get(other, 0.0) for other in _RUNS_AS[name] if {name, other} != _AS_WIDE) for name in rates}
    return dataclasses.replace(device, accelerator=dataclasses.replace(device.accelerator, peak_flop_per_s=best))


def halvings_below_16_bits(dtype: str) -> int:
    """Return how often a 16-bit number is halved to this rate's format (fp8 1, fp4 2, wider 0)."""
    return _HALVINGS.get(_RATE_OF.get(dtype, dtype), 0)


def peak_flop_per_s(device: Device, dtype: str) -> float:
    """Return the printed dense rate of `dtype` [FLOP/s].

    Raises:
        UnknownError: The device has no hardware rate for it; `effective_compute_dtype` says what runs
            instead.

    Example:
        >>> from steelyard.device import load
        >>> f"{peak_flop_per_s(load('h100'), 'bf16'):.3g}"
        '9.89e+14'
    """
    rates = device.accelerator.peak_flop_per_s
    name = _RATE_OF.get(dtype, dtype)
    if name not in rates:
        raise UnknownError(f"{device.id} has no {dtype} rate; it has {_listed(device)}")
    return rates[name]


def _listed(device: Device) -> str:
    return ", ".join(sorted(device.accelerator.peak_flop_per_s))
