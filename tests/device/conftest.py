"""Devices with round numbers, so that every expected time can be worked out by hand."""

import dataclasses

import numpy as np
import pytest

from steelyard.device import Device, Efficiency
from steelyard.records.operator import Operator
from steelyard.records.system import Accelerator

CARD = Accelerator(
    id="round-one",
    name="Round One",
    vendor="Nobody",
    year=2024,
    peak_flop_per_s={"fp32": 50e12, "bf16": 1000e12, "fp8": 2000e12},
    hbm_bytes=100e9,
    hbm_bytes_per_s=4e12,
    scale_up_bytes_per_s=500e9,
    scale_up_devices=8,
    scale_out_bytes_per_s=50e9,
    pcie_bytes_per_s=50e9,
    tdp_w=1000.0,
    idle_w=100.0,
    devices_per_node=8,
    figures={},
)
PERFECT = Efficiency(  # printed rates, no latency, compute and memory simply added
    matmul_ratio=1.0,
    narrow_matmul_ratio=1.0,
    matmul_pad_count=0.0,
    dot_product_ratio=1.0,
    grouped_matmul_ratio=1.0,
    grouped_memory_ratio=1.0,
    dispatch_memory_ratio=1.0,
    expanded_ratio=1.0,
    expand_flop_count=0.0,
    attention_ratio=1.0,
    attention_flop_per_byte=0.0,
    vector_ratio=0.0625,
    memory_ratio=1.0,
    cache_memory_ratio=1.0,
    overlap_exponent_ratio=1.0,
    kernel_launch_s=0.0,
    attention_kernels_count=1.0,
    dispatch_kernels_count=1.0,
    link_ratio=1.0,
    link_latency_s=0.0,
    fused_link_ratio=1.0,
    fused_latency_s=0.0,
    fused_most_bytes=1e12,
    pcie_link_ratio=1.0,
    pcie_link_latency_s=0.0,
    pcie_full_rate_count=np.inf,
    scale_out_link_ratio=1.0,
    scale_out_latency_s=0.0,
    link_overlap_exponent_ratio=1.0,
    usable_memory_ratio=0.9,
    active_power_ratio=0.6,
    compute_power_ratio=1.0,
    host_power_ratio=0.5,
)


@pytest.fixture(scope="session")
def make_device():
    """Return a function that makes a device; keywords change its card or its efficiency."""

    def make(**changes):
        of_card = {field.name for field in dataclasses.fields(Accelerator)}
        card = {name: value for name, value in changes.items() if name in of_card}
        reached = {name: value for name, value in changes.items() if name not in of_card}
        return Device(
            accelerator=dataclasses.replace(CARD, **card),
            efficiency=dataclasses.replace(PERFECT, **reached),
        )

    return make


@pytest.fixture(scope="session")
def make_gemm():
    """Return a function that makes the product of an m x k and a k x n matrix."""

    def make(m, n, k, *, dtype="bf16", element_bytes=2, count=1):
        return Operator(
            name="product",
            kind="gemm",
            place="layer",
            count=count,
            flop=2.0 * m * n * k,
            weight_bytes=element_bytes * n * k,
            activation_bytes=element_bytes * m * (n + k),
            m=m,
            n=n,
            k=k,
            compute_dtype=dtype,
        )

    return make
