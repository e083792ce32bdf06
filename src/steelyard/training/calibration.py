"""The room's calibrated parameters: each a figure of the catalogue with its source, none for one device or model."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass

from steelyard import catalog
from steelyard.errors import CatalogError
from steelyard.records.figure import Figure
from steelyard.records.system import Accelerator
from steelyard.units import Array


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameters:
    """What a step and its memory take beyond isolated kernels; a fit varies these and nothing else.

    Every field may be an array that broadcasts with the layouts.
    """

    gemm_time_ratio: Array  # matrix products of a long step over isolated kernels
    untuned_time_ratio: Array  # times this in software that is not tuned for its devices
    ragged_time_ratio: Array  # times this where a width does not fill whole tiles
    throttle_exponent_ratio: Array  # share of the power, not the printed peak, in the time of matrix products
    expert_time_ratio: Array  # times this for grouped products of experts
    attention_time_ratio: Array
    attention_backward_time_ratio: Array  # times this for the products of its backward pass
    scan_time_ratio: Array  # state-space and linear-attention cores
    older_attention_time_ratio: Array  # products in kernels older than devices that multiply apart from threads
    score_time_ratio: Array  # attention scores through memory over their traffic at the measured rate
    elementwise_time_ratio: Array  # norms, activations and residuals over their traffic
    eager_time_ratio: Array  # times this where every operation is a kernel of its own
    fused_time_ratio: Array  # times this where a compiler fuses them
    quantise_time_ratio: Array  # narrow products: passes that quantise their inputs
    expand_time_ratio: Array  # frozen narrow weights: passes that write them out in 16 bits
    host_layer_s: Array  # the processor's time to launch one layer's forward pass
    host_eager_ratio: Array  # times this where every operation is a kernel of its own
    host_adapter_s: Array  # more for a layer with adapters
    host_ring_s: Array  # more for each further step of a context-parallel ring
    host_hook_s: Array  # more for a layer whose modules gather their weights from hooks
    host_expert_s: Array  # more for a layer of experts
    step_overhead_s: Array  # once a step: data, norms of gradients, launches of the optimizer
    tp_serial_ratio: Array  # tensor-parallel traffic that nothing overlaps, over the collective alone
    tp_exposed_ratio: Array  # of tensor-parallel traffic, where software overlaps it
    cp_overlap_ratio: Array  # of attention, under which keys and values travel
    ep_exposed_ratio: Array  # of expert exchange, alone
    ep_hidden_ratio: Array  # times this where it runs beside another micro-batch
    pp_exposed_ratio: Array  # of hand-overs
    dp_overlap_ratio: Array  # of a pass, under which gradients and weights travel
    straggler_ratio: Array  # of the step, for each doubling of the nodes
    fragmentation_ratio: Array  # what the allocator holds over what is in use
    overhead_bytes: Array  # context, workspaces
    group_bytes: Array  # buffers of the collectives, for each kind of group that a device communicates in


_BY_FORMAT = ("nvidia",)  # vendors with enough published runs to tell their generations apart
FIELDS = tuple(field.name for field in dataclasses.fields(Parameters))


def parameter(name: str) -> float:
    """Return one parameter of `calibration/training.toml` (SI).

    Raises:
        CatalogError: The file lacks it.
    """
    figures = catalog.calibration("training")
    if name not in figures:
        raise CatalogError(f"calibration/training.toml: no figure {name!r}")
    return figures[name].value


def device_family(accelerator: Accelerator) -> str:
    """Return the family that devices are pooled by: the vendor, and for GPUs of NVIDIA the narrowest matrix format.

    Example:
        >>> [device_family(catalog.accelerator(name)) for name in ("h100", "a100", "mi300x")]
        ['nvidia-fp8', 'nvidia-bf16', 'amd']
    """
    vendor = accelerator.vendor.split()[0].casefold()
    if vendor not in _BY_FORMAT:
        return vendor
    rates = accelerator.peak_flop_per_s
    narrowest = next((dtype for dtype in ("fp4", "fp8", "bf16") if dtype in rates), "fp16")
    return f"{vendor}-{narrowest}"


def shipped(accelerator: Accelerator) -> Parameters:
    """Return the calibrated parameters of a device: its family's where there are any, else the global ones."""
    return resolve(catalog.calibration("training"), device_family(accelerator))


def resolve(figures: Mapping[str, Figure], family: str) -> Parameters:
    """Return the parameters of a device family: `name.family`, else `name`."""
    found = {}
    for name in FIELDS:
        figure = figures.get(f"{name}.{family}") or figures.get(name)
        if figure is None:
            raise CatalogError(f"calibration/training.toml: no figure {name!r}")
        found[name] = figure.value
    return Parameters(**found)
