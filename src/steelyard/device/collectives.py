"""Seconds of a collective: latency and bandwidth by tier of the network, pipelined across tiers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from steelyard.device.efficiency import Efficiency
from steelyard.device.hardware import Device
from steelyard.device.overlap import power_sum
from steelyard.errors import UnknownError, unknown
from steelyard.units import Array

COLLECTIVES = ("all_reduce", "all_gather", "reduce_scatter", "all_to_all", "point_to_point")


def collective_time(
    kind: str, payload_bytes: Array, ranks: Array, device: Device, *, span: Array | None = None
) -> Array:
    """Return the time of one collective, alone on its links [s].

    t = (L^p + T^p)^(1/p), L = sum over tiers of steps * latency, T = max over tiers of bytes / bandwidth.
    With n ranks, all_gather and reduce_scatter send (n-1)/n of the payload in log2(n) steps, all_reduce is
    one of each, all_to_all sends (n-1)/n in 2 steps (on all tiers at once), point_to_point sends it once. A
    group larger than a scale-up domain works by tier: the g members in a domain reduce to 1/g each, then the
    shards cross domains on all NICs at once. Over PCIe all members in a host form one ring, bridged pairs or not: its
    PCIe hops carry what the ring carries, and share the host's memory where devices cannot reach each other's.

    Args:
        kind: One of `COLLECTIVES`.
        payload_bytes: The whole message of one rank: the tensor reduced, the tensor gathered, or
            (reduce_scatter, all_to_all) the input of one rank.
        ranks: Members; 1 costs nothing.
        device: Gives links and the sizes of their domains.
        span: Devices over which the members are spread evenly, at least `ranks`: 2 members with a span of 16
            lie 8 apart and share no domain of 8. Dense when None.

    Returns:
        Seconds, in the broadcast shape of payload, ranks, span and efficiency.

    Raises:
        UnknownError: No such collective, or no figure for a link that the group needs.

    Assumes:
        Trees and recursive halving, so that steps grow with log2(n); chunks flow through all tiers at the
        same time; p < 1 stands for the protocol changes that make middle sizes slower than either limit.

    Source:
        Thakur, Rabenseifner, Gropp, "Optimization of Collective Communication Operations in MPICH", IJHPCA
        19(1), 2005; parameters: catalogue, calibration/device.toml.

    Example:
        >>> from steelyard.device import load
        >>> within, across = collective_time("all_reduce", 1e9, np.array([8, 16]), load("h100"))
        >>> bool(within < across)
        True
    """
    return collective_time_over(kind, payload_bytes, ranks, links_of(device), device.efficiency, span=span)


@dataclass(frozen=True, slots=True, kw_only=True)
class Links:
    """The network around one device, as printed; arrays where devices of several kinds are timed together."""

    device_id: str
    scale_up_bytes_per_s: Array
    scale_up_devices: Array  # 1 where there is no scale-up link
    pcie_bytes_per_s: Array
    devices_per_node: Array
    scale_out_bytes_per_s: Array


def links_of(device: Device) -> Links:
    """Return the links of a device."""
    card = device.accelerator
    return Links(
        device_id=device.id,
        scale_up_bytes_per_s=card.scale_up_bytes_per_s,
        scale_up_devices=float(card.scale_up_devices) if card.scale_up_bytes_per_s > 0 else 1.0,
        pcie_bytes_per_s=card.pcie_bytes_per_s,
        devices_per_node=float(card.devices_per_node),
        scale_out_bytes_per_s=card.scale_out_bytes_per_s,
    )


def collective_time_over(
    kind: str, payload_bytes: Array, ranks: Array, links: Links, reached: Efficiency, *, span: Array | None = None
) -> Array:
    """Return the time of one collective over given links [s], as `collective_time` describes it."""
    if kind not in COLLECTIVES:
        raise UnknownError(unknown("collective", kind, COLLECTIVES))
    ranks = np.maximum(np.asarray(ranks, dtype=np.float64), 1.0)
    stride = 1.0 if span is None else np.maximum(np.asarray(span, dtype=np.float64) / ranks, 1.0)
    latency: Array = 0.0
    transfer: Array = 0.0
    inner: Array = 1.0  # members already joined by the tiers below
    for tier in _tiers(links, reached):
        joined = np.maximum(np.clip(np.floor(tier.size / stride), 1.0, ranks), inner)
        known = np.asarray(tier.peak_bytes_per_s) > 0
        if np.any((joined > inner) & ~known):
            _refuse_crossing(links, tier, inner)
        sent_ratio, steps = _traffic(kind, ranks, inner, joined, one_ring=tier.one_ring)
        waited = steps * tier.latency_s
        latency = np.maximum(latency, waited) if kind == "all_to_all" else latency + waited
        shared = np.minimum(tier.full_rate_count / (joined / inner), 1.0)
        peak = np.where(known, tier.peak_bytes_per_s, 1.0) * shared
        transfer = np.maximum(transfer, sent_ratio * payload_bytes / (peak * tier.link_ratio))
        inner = joined
    return power_sum(latency, transfer, reached.link_overlap_exponent_ratio)


def fused_all_reduce_time(payload_bytes: Array, ranks: Array, links: Links, reached: Efficiency) -> Array:
    """Return the time of an all-reduce as serving engines write it themselves, within a scale-up domain [s].

    t = min(L + (n - 1) T, 2 L + 2 (n - 1)/n T), T = payload / bandwidth: every rank reads all others' messages at once
    (small ones), or reduces its share and then gathers the others' (larger ones), each in one kernel, whose ranks wait
    for each other L long, however many they are. Messages beyond the buffers of these kernels go to the library.

    Returns:
        Seconds; 0 for one rank, infinity where the ranks do not share a scale-up domain or the message is too large.

    Source:
        vLLM `csrc/custom_all_reduce.cuh` and TensorRT-LLM `customAllReduceKernels` (one-shot and two-shot kernels);
        their buffers: vLLM `custom_all_reduce.py` (`max_size`), TensorRT-LLM `customAllReduceUtils.h`.
    """
    ranks = np.maximum(np.asarray(ranks, dtype=np.float64), 1.0)
    peak = np.asarray(links.scale_up_bytes_per_s, dtype=np.float64)
    within = (peak > 0) & (ranks <= np.asarray(links.scale_up_devices))
    within = within & (np.asarray(payload_bytes) <= np.asarray(reached.fused_most_bytes))
    once = payload_bytes / (np.where(within, peak, 1.0) * reached.fused_link_ratio)
    one_shot = reached.fused_latency_s + (ranks - 1.0) * once
    two_shot = 2.0 * reached.fused_latency_s + 2.0 * (ranks - 1.0) / ranks * once
    result: Array = np.where(ranks <= 1.0, 0.0, np.where(within, np.minimum(one_shot, two_shot), np.inf))
    return result


@dataclass(frozen=True, slots=True, kw_only=True)
class _Tier:
    """One level of the network: the devices that it joins, and one device's share of it."""

    name: str
    size: Array
    peak_bytes_per_s: Array
    link_ratio: Array
    latency_s: Array
    full_rate_count: Array = np.inf  # how many may send at once before they share what joins them
    one_ring: bool = False  # all devices in one ring, where others reduce within a domain and then across


def _tiers(links: Links, reached: Efficiency) -> tuple[_Tier, ...]:
    """Return the levels from the innermost: scale-up domain, PCIe within a larger node, scale-out."""
    scale_up = _Tier(
        name="scale-up",
        size=links.scale_up_devices,
        peak_bytes_per_s=links.scale_up_bytes_per_s,
        link_ratio=reached.link_ratio,
        latency_s=reached.link_latency_s,
    )
    pcie = _Tier(
        name="PCIe",
        size=np.maximum(links.devices_per_node, links.scale_up_devices),
        peak_bytes_per_s=links.pcie_bytes_per_s,
        link_ratio=reached.pcie_link_ratio,
        latency_s=reached.pcie_link_latency_s,
        full_rate_count=reached.pcie_full_rate_count,
        one_ring=True,
    )
    scale_out = _Tier(
        name="scale-out",
        size=np.inf,
        peak_bytes_per_s=links.scale_out_bytes_per_s,
        link_ratio=reached.scale_out_link_ratio,
        latency_s=reached.scale_out_latency_s,
    )
    return scale_up, pcie, scale_out


def _traffic(kind: str, ranks: Array, inner: Array, joined: Array, *, one_ring: bool = False) -> tuple[Array, Array]:
    """Return what one device sends over a tier, as a share of the payload, and in how many steps."""
    group = np.ceil(joined / inner)  # members on this tier; each stands for up to `inner` members below it
    crosses = np.where(group > 1.0, 1.0, 0.0)
    if kind == "point_to_point":  # two neighbours meet on the first tier that joins any two
        first = np.where(np.asarray(inner) <= 1.0, crosses, 0.0)
        return first, first
    if kind == "all_to_all":
        return (joined - inner) / ranks, 2.0 * crosses
    passes = 2.0 if kind == "all_reduce" else 1.0
    sent_ratio = crosses * (joined - 1.0) / joined if one_ring else (group - 1.0) / group / inner
    return passes * sent_ratio, passes * np.log2(group)


def _refuse_crossing(links: Links, tier: _Tier, inner: Array) -> None:
    together = int(np.max(inner))
    raise UnknownError(
        f"{links.device_id}: the catalogue has no {tier.name} bandwidth, which more than {together} together "
        "need; use fewer devices, or add the figure in a STEELYARD_DATA folder"
    )
