"""Seconds of an operator and of a pass: the roofline at achievable rates, with the cost of small shapes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from steelyard.device.dtypes import effective_compute_dtype, halvings_below_16_bits
from steelyard.device.efficiency import Efficiency
from steelyard.device.hardware import Device
from steelyard.device.overlap import power_sum
from steelyard.records.operator import Operator
from steelyard.records.term import term
from steelyard.units import Array

_ROOFLINE = 'Williams, Waterman, Patterson, "Roofline", CACM 52(4), 2009; catalogue: calibration/device.toml'
_MATMUL = ("gemm", "grouped_gemm")
_MIXING = ("attention", "scan")
_PACKED_NUMBERS = 4.0  # 8-bit numbers that vector units multiply in the place of one of 32 bits


def operator_time(op: Operator, device: Device) -> Array:
    """Return the time of one run of an operator on one device, without its launch [s].

    t = (compute^p + memory^p + widening^p)^(1/p): never below a roof at printed rates.
    memory = (weights + activations) / (bandwidth * memory_ratio) + cache / (bandwidth * cache_memory_ratio).
    compute of a matrix product = flop * (1 + pad * groups / m) * (1 + pad / n) / (peak * ratio): a smooth
    form of cut tiles and the last wave; at most flop / (vector rate * ratio of dot products), as kernels of few
    rows take, which have no tile to fill, where a device has such kernels.
    compute of attention = flop / (peak * ratio) + activation bytes * c / vector rate: softmax grows with tokens, its
    two products with their square. widening = weights * operations of each / vector rate, where they are narrower than
    what they are multiplied in: vector units unpack them meanwhile.

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
    return time_at(op, rates_for(op, device), device.efficiency)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rates:
    """The printed rates that one operator meets on one device; arrays where operators of many are timed together."""

    peak_flop_per_s: Array  # of the format it really runs in
    vector_flop_per_s: Array  # printed fp32 rate; 0 where it is not printed
    wide_flop_per_s: Array  # the 16-bit rate
    hbm_bytes_per_s: Array
    halvings: Array  # of 16 bits, to the format it runs in
    expanded: Array  # 1 where the device has no rate for the format asked for and widens its numbers, else 0
    has_matrix_units: Array  # 1 where some format is multiplied much faster than vector units could, else 0


def rates_for(op: Operator, device: Device) -> Rates:
    """Return what an operator meets on a device.

    Raises:
        UnknownError: The device cannot run `op.compute_dtype`.
    """
    peaks = device.accelerator.peak_flop_per_s
    dtype = effective_compute_dtype(device, op.compute_dtype)
    return Rates(
        peak_flop_per_s=peaks[dtype],
        vector_flop_per_s=peaks.get("fp32", 0.0),
        wide_flop_per_s=peaks.get("bf16") or peaks.get("fp16") or peaks[dtype],
        hbm_bytes_per_s=device.accelerator.hbm_bytes_per_s,
        halvings=float(halvings_below_16_bits(dtype)),
        expanded=float(halvings_below_16_bits(op.compute_dtype) > halvings_below_16_bits(dtype)),
        has_matrix_units=float(max(peaks.values()) > _PACKED_NUMBERS * peaks.get("fp32", 0.0)),
    )


def time_at(op: Operator, rates: Rates, reached: Efficiency) -> Array:
    """Return the time of one run of an operator at given rates [s], as `operator_time` describes it."""
    weight_ratio = reached.memory_ratio
    if op.kind == "grouped_gemm":
        weight_ratio = weight_ratio * reached.grouped_memory_ratio
    activation_ratio = reached.memory_ratio
    if op.kind == "dispatch":
        activation_ratio = activation_ratio * reached.dispatch_memory_ratio
    memory = op.weight_bytes / weight_ratio + op.activation_bytes / activation_ratio
    memory = (memory + op.cache_bytes / reached.cache_memory_ratio) / rates.hbm_bytes_per_s
    return power_sum(_compute_time(op, rates, reached), memory, reached.overlap_exponent_ratio)


def kernels_of(op: Operator, reached: Efficiency) -> Array:
    """Return how many kernels one run of an operator launches (count)."""
    if op.kind == "dispatch":
        return reached.dispatch_kernels_count
    return reached.attention_kernels_count if op.kind in _MIXING else 1.0


def _compute_time(op: Operator, rates: Rates, reached: Efficiency) -> Array:
    vector = np.where(
        np.asarray(rates.vector_flop_per_s) > 0, rates.vector_flop_per_s, rates.wide_flop_per_s * reached.vector_ratio
    )
    if op.kind in _MATMUL:
        # Few rows are multiplied one by one instead: kernels of dot products have no tile to fill. Where a device has
        # matrix units, there are such kernels for weights that are widened only: libraries feed the rest to the units.
        few_rows = op.flop / (vector * reached.dot_product_ratio)
        tiles_alone = rates.has_matrix_units * (1.0 - rates.expanded) > 0
        tiled = _tiled_time(op, rates, reached)
        multiplied = np.where(tiles_alone, tiled, np.minimum(tiled, few_rows))
        widening = rates.expanded * op.groups * op.n * op.k * reached.expand_flop_count / vector
        return power_sum(multiplied, widening, reached.overlap_exponent_ratio)
    if op.kind in _MIXING:
        softmax = reached.attention_flop_per_byte if op.kind == "attention" else 0.0
        products = op.flop / (rates.peak_flop_per_s * reached.attention_ratio)
        return products + op.activation_bytes * softmax / vector
    return op.flop / np.minimum(vector, rates.peak_flop_per_s)


def _tiled_time(op: Operator, rates: Rates, reached: Efficiency) -> Array:
    pad = reached.matmul_pad_count
    tiles = (1.0 + pad * _over(op.groups, op.m)) * (1.0 + pad * _over(1.0, op.n))
    ratio = reached.matmul_ratio * reached.narrow_matmul_ratio**rates.halvings
    ratio = ratio * reached.expanded_ratio**rates.expanded
    if op.kind == "grouped_gemm":
        ratio = ratio * reached.grouped_matmul_ratio
    return op.flop * tiles / (rates.peak_flop_per_s * ratio)


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
        kernels = kernels + op.count * kernels_of(op, device.efficiency)
    launch_s: Array = kernels * device.efficiency.kernel_launch_s if launch else 0.0
    return PassTime(
        total_s=gemm_s + attention_s + other_s + launch_s,
        gemm_s=gemm_s,
        attention_s=attention_s,
        other_s=other_s,
        launch_s=launch_s,
    )
