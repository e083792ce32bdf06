"""What the ranks of one step send to each other, and how much of it no computation hides."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from steelyard import arch
from steelyard.arch import Model
from steelyard.device import Device, collective_time
from steelyard.training.calibration import parameter
from steelyard.training.layout import Layout
from steelyard.training.memory import GRADIENT_BYTES, WEIGHT_BYTES
from steelyard.training.passes import Pass
from steelyard.training.pipeline import final_passes
from steelyard.training.sharding import Method, shard, whole
from steelyard.units import Array

ELEMENT_BYTES = 2.0  # activations and their gradients travel in bf16


def exposed_layerwise(
    model: Model, device: Device, layout: Layout, forward: Pass, backward: Pass, *, seq_tokens: float
) -> dict[str, Array]:
    """Return what communication inside the layers costs, of the whole model for one micro-batch [s].

    Tensor parallelism with sequence parallelism gathers and scatters the activations around each block; context
    parallelism passes keys and values round a ring (backward: also their gradients); expert parallelism sends each
    routed copy of a token to its expert and back. A recomputed layer communicates again.
    """
    tp, cp, ep = layout.tp, layout.cp, layout.ep
    tokens = np.asarray(layout.micro_batch) * seq_tokens / np.asarray(cp)
    payload = tokens * model.hidden * ELEMENT_BYTES
    pair = collective_time("all_gather", payload, tp, device) + collective_time("reduce_scatter", payload, tp, device)
    # An expert that is whole on its device exchanges tokens in place of the layer's second tp pair.
    routed_apart = (np.asarray(ep) > 1) & (np.asarray(ep) >= tp)
    tp_s = pair * (2.0 * model.num_layers - np.where(routed_apart, model.num_moe_layers, 0))
    copies = tokens / np.asarray(tp) * model.top_k * model.hidden * ELEMENT_BYTES
    ep_s = 2.0 * collective_time("all_to_all", copies, ep, device) * model.num_moe_layers
    cache = arch.cache_bytes(model, seq_tokens, kv_dtype="bf16") * np.asarray(layout.micro_batch) / model.num_layers
    held = cache / np.minimum(tp, model.num_kv_heads)
    ring = model.num_layers * collective_time("all_gather", held, cp, device, span=np.asarray(tp) * cp)
    again = np.where(layout.is_recompute("full"), 1.0, 0.0)
    cover = forward.attention_s * (1.0 + again) + backward.attention_s
    return {
        "tp_s": parameter("tp_exposed_ratio") * tp_s * (2.0 + again),
        "cp_s": _exposed(ring * (3.0 + again), cover, "cp_overlap_ratio"),
        "ep_s": parameter("ep_exposed_ratio") * ep_s * (2.0 + again),
    }


def stage_transfer(model: Model, device: Device, layout: Layout, *, seq_tokens: float) -> Array:
    """Return the time to hand one micro-batch's activations to the next pipeline stage [s]."""
    stride = np.asarray(layout.tp) * layout.cp * np.asarray(layout.dp)
    tokens = np.asarray(layout.micro_batch) * seq_tokens / (np.asarray(layout.cp) * layout.tp)
    hop = collective_time("point_to_point", tokens * model.hidden * ELEMENT_BYTES, 2, device, span=2 * stride)
    return np.where(np.asarray(layout.pp) > 1, hop, 0.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class DataParallel:
    """Communication between replicas over one optimizer step [s]."""

    gather_s: Array  # weights, once
    reduce_s: Array  # gradients, once


def data_parallel(model: Model, device: Device, layout: Layout, *, method: Method, lora_rank: int) -> DataParallel:
    """Return the time to gather the weights once and to reduce the gradients once [s].

    Dense parameters meet over dp x cp ranks, experts over the ranks that hold a copy of them. Without ZeRO the
    all-reduce is one reduce-scatter and one all-gather of the gradients, so the gather is of gradients there.
    """
    held, parts = shard(model, layout, lora_rank=lora_rank), whole(model, lora_rank)
    dense, expert, first, last = held.trained(method, parts)
    trained = dense + np.maximum(first, last)
    ranks = np.asarray(layout.dp, np.float64) * layout.cp
    span = ranks * layout.tp
    zero = np.asarray(layout.zero_stage)
    gathers_frozen = zero == 3
    gathered = np.where(gathers_frozen, held.dense_params + np.maximum(held.first_params, held.last_params), trained)
    gathered_expert = np.where(gathers_frozen, held.expert_params, expert)
    element = np.where(zero == 0, GRADIENT_BYTES, WEIGHT_BYTES)

    def both(kind: str, dense_bytes: Array, expert_bytes: Array) -> Array:
        return collective_time(kind, dense_bytes, ranks, device, span=span) + np.where(
            np.asarray(expert_bytes) > 0,
            collective_time(kind, expert_bytes, layout.expert_dp, device, span=span),
            0.0,
        )

    return DataParallel(
        gather_s=both("all_gather", element * gathered, element * gathered_expert),
        reduce_s=both("reduce_scatter", GRADIENT_BYTES * trained, GRADIENT_BYTES * expert),
    )


def exposed_data_parallel(once: DataParallel, layout: Layout, *, forward_s: Array, backward_s: Array) -> Array:
    """Return what the traffic between replicas costs per step [s], given one micro-batch's times on a stage.

    Up to ZeRO-1 gradients are reduced once, under the last backward passes; ZeRO-2 reduces them and ZeRO-3 also gathers
    the weights (twice) in every micro-batch.
    """
    zero, m = np.asarray(layout.zero_stage), layout.num_microbatches
    again, passes = zero == 3, np.where(zero >= 2, 1.0, final_passes(layout))
    gather = _exposed(once.gather_s, forward_s * passes, "dp_overlap_ratio") * np.where(again, m, 1.0)
    behind = once.reduce_s + np.where(again, once.gather_s, 0.0)
    reduce_ = _exposed(behind, backward_s * passes, "dp_overlap_ratio") * np.where(zero >= 2, m, 1.0)
    return gather + reduce_


def _exposed(comm_s: Array, cover_s: Array, overlap: str) -> Array:
    """Return the part of a communication that `overlap` (a calibrated share) of a computation does not hide [s]."""
    left: Array = np.maximum(0.0, comm_s - parameter(overlap) * cover_s)
    return left
