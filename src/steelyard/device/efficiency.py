"""How much of a device's printed rates real kernels reach: the calibrated parameters, global or by vendor."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from steelyard.errors import CatalogError
from steelyard.records.estimate import Z90
from steelyard.records.figure import Figure
from steelyard.units import Array


@dataclass(frozen=True, slots=True, kw_only=True)
class Efficiency:
    """Corrections of printed rates; every field may be an array of draws that broadcasts with the work timed.

    They are fitted to published kernel measurements (catalogue, `calibration/device.toml`), never to a device
    or a model by name. Ratios without another meaning below are shares of the printed figure, at most 1.
    """

    matmul_ratio: Array  # of the dense 16-bit rate, by a matrix product large in every size
    narrow_matmul_ratio: Array  # times this for each halving of the format below 16 bits
    matmul_pad_count: Array  # rows and columns of idle tile work per matrix product
    dot_product_ratio: Array  # of the vector rate, by kernels of few rows, which have no tiles to fill
    grouped_matmul_ratio: Array  # times this for the experts of a mixture
    grouped_memory_ratio: Array  # of `memory_ratio`, by the weights of experts
    dispatch_memory_ratio: Array  # of `memory_ratio`, by tokens on their way to experts and back
    expanded_ratio: Array  # of the rate, where weights are widened to a format that the device has
    expand_flop_count: Array  # vector work to widen one weight: unpack, convert, scale
    attention_ratio: Array  # of the dense rate, by the two products of attention
    attention_flop_per_byte: Array  # vector work (softmax, rescaling) per byte of queries, keys, values, outputs
    vector_ratio: Array  # of the 16-bit rate, by vector units of a device whose fp32 rate is not printed
    memory_ratio: Array  # of the HBM bandwidth, by weights and activations
    cache_memory_ratio: Array  # of the HBM bandwidth, by a KV cache
    overlap_exponent_ratio: Array  # p in (compute^p + memory^p)^(1/p): 1 adds them, infinity takes the larger
    kernel_launch_s: Array  # from one kernel to the next, in a captured graph
    attention_kernels_count: Array  # an attention operator is several kernels: write cache, split, combine
    dispatch_kernels_count: Array  # so is what sends tokens to experts and back: choose, sort, quantise, sum
    link_ratio: Array  # of the scale-up bandwidth
    link_latency_s: Array  # per step of a collective
    fused_link_ratio: Array  # of the scale-up bandwidth, by the all-reduce kernels of serving engines
    fused_latency_s: Array  # each time that the ranks of such a kernel wait for each other
    fused_most_bytes: Array  # the largest message that engines reduce by their own kernels
    pcie_link_ratio: Array  # of the PCIe bandwidth, where devices share only that
    pcie_link_latency_s: Array
    pcie_full_rate_count: Array  # devices of a host that may send over PCIe at once at that rate; more share it
    scale_out_link_ratio: Array  # of the NIC share
    scale_out_latency_s: Array
    link_overlap_exponent_ratio: Array  # p in (latency^p + transfer^p)^(1/p); below 1: middle sizes pay extra
    usable_memory_ratio: Array  # of the printed capacity, for all that a process holds
    active_power_ratio: Array  # of (TDP - idle), drawn by kernels that only move memory
    compute_power_ratio: Array  # of (TDP - idle), added per unit of model FLOP utilisation
    host_power_ratio: Array  # of the TDP: processors, memory, NICs, fans and supplies beside each device


# These are not capped at 1.
_UNCAPPED = {"overlap_exponent_ratio", "host_power_ratio", "compute_power_ratio"}


def from_figures(figures: Mapping[str, Figure], kinds: Sequence[str]) -> Efficiency:
    """Return the parameters of one kind of device.

    Of its kinds ("nvidia-half-rate", "nvidia"), the first that has an entry of its own (`matmul_ratio.nvidia`) uses
    it; without any the global entry holds, whose range is the spread over vendors.

    Raises:
        CatalogError: A parameter has no global entry.
    """
    return Efficiency(**{name: figure.value for name, figure in _chosen(figures, kinds).items()})


def draw(figures: Mapping[str, Figure], kinds: Sequence[str], rng: np.random.Generator, draws: int) -> Efficiency:
    """Return `draws` joint draws [D] of the parameters, log-normal around the value, low and high as p10 and
    p90.

    Parameters are drawn independently; a figure without a range stays as it is.
    """
    values = {}
    for name, figure in _chosen(figures, kinds).items():
        values[name] = within_peak(name, figure.value * np.exp(_log_steps(figure, rng.standard_normal(draws))))
    return Efficiency(**values)


def within_peak(name: str, value: Array) -> Array:
    """Return a parameter's value, at most 1 where it is a share of a printed figure.

    Example:
        >>> float(within_peak("matmul_ratio", 1.2)), within_peak("kernel_launch_s", 1.2)
        (1.0, 1.2)
    """
    return np.minimum(value, 1.0) if name.endswith("_ratio") and name not in _UNCAPPED else value


def _log_steps(figure: Figure, z: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    low, high = figure.low or figure.value, figure.high or figure.value
    up, down = math.log(high / figure.value), math.log(figure.value / low)
    return z * np.where(z > 0, up, down) / Z90


def _chosen(figures: Mapping[str, Figure], kinds: Sequence[str]) -> dict[str, Figure]:
    chosen = {}
    for field in dataclasses.fields(Efficiency):
        names = (*(f"{field.name}.{kind}" for kind in kinds), field.name)
        figure = next((figures[name] for name in names if name in figures), None)
        if figure is None:
            raise CatalogError(f"calibration/device.toml: no figure {field.name!r}; every parameter needs one")
        chosen[field.name] = figure
    return chosen
