"""From kernels and traffic alone to the time of a step: calibrated ratios, what hides what, the pipeline."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from steelyard.device.overlap import power_sum
from steelyard.training.calibration import Parameters
from steelyard.training.communication import Traffic
from steelyard.training.layout import Layout
from steelyard.training.passes import Pass
from steelyard.training.pipeline import bubble_count, final_passes
from steelyard.units import Array

HOST_OVERLAP_EXPONENT_RATIO = 4.0
"""Launching and computing run side by side: the longer counts, a little more where they are equally long."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Costs:
    """All that a step consists of, by itself: no field depends on a calibrated parameter of this room.

    Arrays broadcast over layouts; over runs of different models and devices they can be joined end to end.
    """

    forward: Pass
    backward: Pass
    again: Pass  # what selective recomputation repeats of the forward pass
    traffic: Traffic
    layout: Layout
    stage_ratio: Array  # layers of the fullest stage over all
    slot_ratio: Array  # the same, were all its virtual stages as full as the fullest one
    last_stage_ratio: Array
    layers_count: Array
    moe_layers_count: Array
    adapters_ratio: Array  # 1 with adapters
    older_attention_ratio: Array  # 1 where the kernel is older than the device
    matmul_ratio: Array  # of the printed rate, by matrix products timed alone
    update_s: Array  # optimizer's memory traffic
    nodes_count: Array
    tuned_ratio: Array
    hooked_ratio: Array
    eager_ratio: Array
    compiled_ratio: Array
    captured_ratio: Array
    tp_overlap_ratio: Array
    ep_overlap_ratio: Array


@dataclass(frozen=True, slots=True, kw_only=True)
class _Spent:
    layers_s: Array
    attention_s: Array
    idle_s: Array  # the device waits for launches
    ends_s: Array


def combine(costs: Costs, p: Parameters) -> dict[str, Array]:
    """Return where the time of one step goes [s], by the names of `Step`."""
    layout, sent = costs.layout, costs.traffic
    full, selective = layout.is_recompute("full"), layout.is_recompute("selective")
    forward = _pass(costs.forward, costs, p, launches=1.0)
    backward = _pass(costs.backward, costs, p, launches=2.0, slower=p.attention_backward_time_ratio)
    again = _pass(costs.again, costs, p, launches=0.0)
    again_s = np.where(full, forward.layers_s, np.where(selective, again.layers_s, 0.0))
    inside = _inside(costs, p, forward, backward)
    # The last stage has the head on top of its layers; where that is more than the fullest stage, all wait for it.
    share, last_share = costs.stage_ratio, costs.last_stage_ratio
    whole_s = forward.layers_s + backward.layers_s + again_s + sum(inside.values())
    ends_s = np.maximum(0.0, forward.ends_s + backward.ends_s - (share - last_share) * whole_s)
    m = layout.num_microbatches
    # A second of computation hides one communication: attention that covers the context ring covers nothing else.
    taken = np.where(np.asarray(layout.cp) > 1, 1.0, 0.0)
    attention_again_s = np.where(full, forward.attention_s, 0.0)
    spent: dict[str, Array] = {
        "forward_s": m * share * forward.layers_s,
        "backward_s": m * share * backward.layers_s,
        "recompute_s": m * share * again_s,
        "ends_s": m * ends_s,
        **{name: m * share * seconds for name, seconds in inside.items()},
        "pp_s": p.pp_exposed_ratio * 2.0 * np.asarray(layout.vpp) * m * sent.hop_s,
        "dp_s": _data_parallel(
            costs,
            p,
            forward_s=share * (forward.layers_s - taken * forward.attention_s),
            backward_s=share * (backward.layers_s + again_s - taken * (backward.attention_s + attention_again_s)),
        ),
        "bubble_s": bubble_count(layout) * (costs.slot_ratio * whole_s + ends_s),
        "optimizer_s": costs.update_s + p.step_overhead_s,
    }
    spent["straggler_s"] = sum(spent.values()) * p.straggler_ratio * np.log2(np.maximum(costs.nodes_count, 1.0))
    return spent


def _pass(one: Pass, costs: Costs, p: Parameters, *, launches: float, slower: Array = 1.0) -> _Spent:
    """Return the time of a pass: `launches` counts those of a forward pass, `slower` is of its attention's products."""
    older = 1.0 + (p.older_attention_time_ratio - 1.0) * np.asarray(costs.older_attention_ratio)
    older_s = (older * slower - 1.0) * one.attention_products_s
    products_s, ends_s = _products(one, costs, p)
    traffic_ratio = p.elementwise_time_ratio * (1.0 + (p.eager_time_ratio - 1.0) * np.asarray(costs.eager_ratio))
    traffic_ratio = traffic_ratio * (1.0 + (p.fused_time_ratio - 1.0) * np.asarray(costs.compiled_ratio))
    mixing_s = p.attention_time_ratio * (one.attention_s + older_s) + p.scan_time_ratio * one.scan_s
    attention_s = mixing_s + p.score_time_ratio * one.score_s
    computed_s: Array = (
        products_s
        + attention_s
        + traffic_ratio * one.elementwise_s
        + one.plain_s
        + p.quantise_time_ratio * one.quantise_s
        + p.expand_time_ratio * one.expand_s
    )
    layers_s = power_sum(computed_s, launches * _host(costs, p), HOST_OVERLAP_EXPONENT_RATIO)
    return _Spent(
        layers_s=layers_s,
        attention_s=attention_s,
        idle_s=layers_s - computed_s,
        ends_s=ends_s + traffic_ratio * one.ends_other_s + one.ends_plain_s,
    )


def _products(one: Pass, costs: Costs, p: Parameters) -> tuple[Array, Array]:
    """Return the time of the matrix products of the layers and of the ends [s].

    Between what the printed peak and what the power alone would allow, by their geometric mean: neither grows with a
    higher peak or more watts, so the mean does not either; products that memory limits feel none of both. Where watts
    would feed far more than is printed, the printed rate is the floor.
    """
    (peak, peak_ends), (power, power_ends) = (
        (
            products.gemm_s + (p.ragged_time_ratio - 1.0) * products.ragged_s + p.expert_time_ratio * products.expert_s,
            products.ends_s,
        )
        for products in (one.at_peak, one.at_power)
    )
    ratio = p.gemm_time_ratio * (1.0 + (p.untuned_time_ratio - 1.0) * (1.0 - np.asarray(costs.tuned_ratio)))
    share = np.asarray(p.throttle_exponent_ratio)
    floor = np.asarray(costs.matmul_ratio)

    def between(printed_s: Array, fed_s: Array) -> Array:
        return np.maximum(ratio * printed_s ** (1.0 - share) * fed_s**share, floor * printed_s)

    return between(peak, power), between(peak_ends, power_ends)


def _host(costs: Costs, p: Parameters) -> Array:
    """Return the processor's time to launch a forward pass of all layers [s]."""
    layer_s = (
        p.host_layer_s * (1.0 + (p.host_eager_ratio - 1.0) * costs.eager_ratio)
        + p.host_adapter_s * costs.adapters_ratio
    )
    layer_s = layer_s + p.host_hook_s * np.asarray(costs.hooked_ratio)
    layer_s = layer_s + p.host_ring_s * (np.asarray(costs.layout.cp) - 1.0)
    whole_s = layer_s * costs.layers_count + p.host_expert_s * costs.moe_layers_count
    return whole_s * (1.0 - np.asarray(costs.captured_ratio))


def _inside(costs: Costs, p: Parameters, forward: _Spent, backward: _Spent) -> dict[str, Array]:
    """Return what communication inside the layers costs, whole model, one micro-batch; recomputing sends again [s]."""
    again = np.where(costs.layout.is_recompute("full"), 1.0, 0.0)
    sent = costs.traffic
    tp_left = p.tp_serial_ratio - np.asarray(costs.tp_overlap_ratio) * (p.tp_serial_ratio - p.tp_exposed_ratio)
    ep_left = p.ep_exposed_ratio * (1.0 - np.asarray(costs.ep_overlap_ratio) * (1.0 - p.ep_hidden_ratio))
    cover_s = p.cp_overlap_ratio * (forward.attention_s * (1.0 + again) + backward.attention_s)
    cover_s = cover_s + forward.idle_s * (1.0 + again) + backward.idle_s
    return {
        "tp_s": tp_left * sent.tp_s * (2.0 + again),
        "cp_s": _exposed(sent.cp_s * (3.0 + again), cover_s),
        "ep_s": ep_left * sent.ep_s * (2.0 + again),
    }


def _data_parallel(costs: Costs, p: Parameters, *, forward_s: Array, backward_s: Array) -> Array:
    """Return what the traffic between replicas costs per step [s], given one micro-batch's times on a stage.

    Up to ZeRO-1 gradients are reduced once, under the last backward passes; ZeRO-2 reduces them and ZeRO-3 also gathers
    the weights (twice) in every micro-batch.
    """
    layout, sent = costs.layout, costs.traffic
    zero, m = np.asarray(layout.zero_stage), layout.num_microbatches
    again, passes = zero == 3, np.where(zero >= 2, 1.0, final_passes(layout))
    gather = _exposed(sent.gather_s, p.dp_overlap_ratio * forward_s * passes) * np.where(again, m, 1.0)
    behind = sent.reduce_s + np.where(again, sent.gather_s, 0.0)
    reduce_ = _exposed(behind, p.dp_overlap_ratio * backward_s * passes) * np.where(zero >= 2, m, 1.0)
    return gather + reduce_ + sent.mirror_s


def _exposed(comm_s: Array, hidden_s: Array) -> Array:
    """Return the part of a communication that is not hidden [s]."""
    left: Array = np.maximum(0.0, comm_s - hidden_s)
    return left
