"""Seconds of an operator and of a pass: the roofline at achievable rates, with the cost of small shapes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from steelyard.device.dtypes import effective_compute_dtype, halvings_below_16_bits
from steelyard.device.hardware import Device
from steelyard.device.overlap import power_sum
from steelyard.records.operator import Operator
from steelyard.records.term import term
from steelyard.units import Array

_ROOFLINE = 'Williams, Waterman, Patterson, "Roofline", CACM 52(4), 2009; catalogue: calibration/device.toml'
_MATMUL = ("gemm", "grouped_gemm")
_MIXING = ("attention", "scan")


def operator_time(op: Operator, device: Device) -> Array:
    """Return the time of one run of an operator on one device, without its launch [s].

    t = (compute^p + memory^p)^(1/p): never below either roof at printed rates.
    memory = (weights + activations) / (bandwidth * memory_ratio) + cache / (bandwidth * cache_memory_ratio).
    compute of a matrix product = flop * (1 + pad * groups / m) * (1 + pad / n) / (peak * ratio): a smooth
    form of cut tiles and the last wave. compute of attention = flop / (peak * ratio) + activation bytes * c /
    vector rate: softmax grows with tokens, its two products with their square.

    Args:
        op: One operator; its arrays broadcast with each other and with the device's efficiency.
        device: Runs it in `effective_compute_dtype`.

    Returns:
        Seconds, in the broadcast shape.

    Raises:
        UnknownError: The device cannot run `op.compute_dtype`.

    Assumes:
        Each operand moves through memory once. Two batches take between once and twice the time of one.

    Source:
        Williams, Waterman, Patterson, "Roofline", CACM 52(4), 2009; parameters: catalogue,
        calibration/device.toml.

    Example:
        One row through an 8192 x 8192 matrix in bf16 reads 134 MB: 40 us at 3.35 TB/s.

        >>> from steelyard.device import load
        >>> n = 8192.0
        >>> op = Operator(name="mlp", kind="gemm", place="layer", count=1, flop=2 * n * n,
        ...               weight_bytes=2 * n * n, activation_bytes=4 * n, m=1.0, n=n, k=n)
        >>> bool(40e-6 < operator_time(op, load("h100")) < 60e-6)
        True
    """
    bandwidth, reached = device.accelerator.hbm_bytes_per_s, device.efficiency
    memory = (op.weight_bytes + op.activation_bytes) / (bandwidth * reached.memory_ratio)
    memory = memory + op.cache_bytes / (bandwidth * reached.cache_memory_ratio)
    return power_sum(_compute_time(op, device), memory, reached.overlap_exponent_ratio)


def _compute_time(op: Operator, device: Device) -> Array:
    reached = device.efficiency
    dtype = effective_compute_dtype(device, op.compute_dtype)
    peak = device.accelerator.peak_flop_per_s[dtype]
    if op.kind in _MATMUL:
        pad = reached.matmul_pad_count
        tiles = (1.0 + pad * _over(op.groups, op.m)) * (1.0 + pad * _over(1.0, op.n))
        narrow = reached.narrow_matmul_ratio ** halvings_below_16_bits(dtype)
        return op.flop * tiles / (peak * reached.matmul_ratio * narrow)
    if op.kind in _MIXING:
        softmax = reached.attention_flop_per_byte if op.kind == "attention" else 0.0
        return op.flop / (peak * reached.attention_ratio) + op.activation_bytes * softmax / _vector_rate(device)
    return op.flop / np.minimum(_vector_rate(device), peak)


def _vector_rate(device: Device) -> Array:
    """Return the rate of the vector units [FLOP/s]: the printed fp32 rate, else a share of the 16-bit one."""
    rates = device.accelerator.peak_flop_per_s
    if "fp32" in rates:
        return rates["fp32"]
    return rates[effective_compute_dtype(device, "bf16")] * device.efficiency.vector_ratio


def _over(count: Array, size: Array) -> Array:
    """Return count / size, and 0 where the size is 0 (not stated, or nothing to do)."""
    stated = np.asarray(size, dtype=np.float64) > 0
    result: Array = np.where(stated, count / np.where(stated, size, 1.0), 0.0)
    return result


@dataclass(frozen=True, slots=True, kw_only=True)
class PassTime:
    """Time of one pass over a model on one device, by what it is spent on."""

    total_s: Array = term(
        "time of one pass",
        "s",
        "gemm_s + attention_s + other_s + launch_s",
        parts=("gemm_s", "attention_s", "other_s", "launch_s"),
    )
    gemm_s: Array = term("matrix products", "s", "sum of count * time", _ROOFLINE)
    attention_s: Array = term("attention and scans", "s", "sum of count * time", _ROOFLINE)
    other_s: Array = term("elementwise and embedding", "s", "sum of count * time", _ROOFLINE)
    launch_s: Array = term("kernel launches", "s", "kernels * kernel_launch_s", _ROOFLINE)


def pass_time(ops: Iterable[Operator], device: Device, *, launch: bool = True) -> PassTime:
    """Return the time of all operators of a pass, one after the other [s].

    total = sum over operators of count * (operator_time + kernels * kernel_launch_s)

    Args:
        ops: As `arch.forward_operators` or `arch.backward_operators` return them.
        device: Where they run.
        launch: False where launches hide behind running kernels (large training steps).

    Example:
        >>> from steelyard.device import load
        >>> norm = Operator(name="norm", kind="elementwise", place="layer", count=2, flop=0.0,
        ...                 weight_bytes=0.0, activation_bytes=3.35e9)
        >>> spent = pass_time([norm], load("h100"))  # twice 3.35 GB at 3.35 TB/s: at least 2 ms
        >>> bool(2e-3 < spent.total_s < 3e-3), bool(spent.total_s == spent.other_s + spent.launch_s)
        (True, True)
    """
    gemm_s: Array = 0.0
    attention_s: Array = 0.0
    other_s: Array = 0.0
    kernels: Array = 0.0
    for op in ops:
        spent = op.count * operator_time(op, device)
        if op.kind in _MATMUL:
            gemm_s = gemm_s + spent
        elif op.kind in _MIXING:
            attention_s = attention_s + spent
        else:
            other_s = other_s + spent
        each = device.efficiency.attention_kernels_count if op.kind in _MIXING else 1.0
        kernels = kernels + op.count * each
    launch_s: Array = kernels * device.efficiency.kernel_launch_s if launch else 0.0
    return PassTime(
        total_s=gemm_s + attention_s + other_s + launch_s,
        gemm_s=gemm_s,
        attention_s=attention_s,
        other_s=other_s,
        launch_s=launch_s,
    )
