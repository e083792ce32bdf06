"""What the ranks of one step send to each other: seconds alone on the links, before anything hides them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from steelyard import arch
from steelyard.arch import Model
from steelyard.device import Device, collective_time
from steelyard.training.layout import Layout
from steelyard.training.recipe import Recipe
from steelyard.training.sharding import shard, whole
from steelyard.units import Array

ELEMENT_BYTES = 2.0  # activations and their gradients travel in bf16


@dataclass(frozen=True, slots=True, kw_only=True)
class Traffic:
    """Communication of a step, each alone on its links [s]."""

    tp_s: Array  # all layers, one micro-batch, one direction
    cp_s: Array
    ep_s: Array
    hop_s: Array  # one micro-batch to the next stage
    gather_s: Array  # weights between replicas, once
    reduce_s: Array  # gradients between replicas, once
    mirror_s: Array  # gradients between copies of the shards, once (HSDP)


def traffic(model: Model, device: Device, layout: Layout, recipe: Recipe, *, seq_tokens: float) -> Traffic:
    """Return all communication of a step [s].

    Tensor parallelism gathers and scatters the activations around each block (without sequence parallelism: reduces
    them); context parallelism passes keys and values round a ring; expert parallelism sends each routed copy of a token
    to its expert and back.
    """
    tp, cp, ep = layout.tp, layout.cp, layout.ep
    tokens = np.asarray(layout.micro_batch) * seq_tokens / np.asarray(cp)
    payload = tokens * model.hidden * ELEMENT_BYTES
    pair = collective_time("all_gather", payload, tp, device) + collective_time("reduce_scatter", payload, tp, device)
    # An expert that is whole on its device exchanges tokens in place of the layer's second tp pair.
    routed_apart = (np.asarray(ep) > 1) & (np.asarray(ep) >= tp)
    passed = arch.ring(model, seq_tokens, tp=tp).passed_bytes * np.asarray(layout.micro_batch) / model.num_layers
    gather_s, reduce_s, mirror_s = _between_replicas(model, device, layout, recipe)
    return Traffic(
        tp_s=pair * (2.0 * model.num_layers - np.where(routed_apart, model.num_moe_layers, 0)),
        cp_s=model.num_layers * collective_time("all_gather", passed, cp, device, span=np.asarray(tp) * cp),
        ep_s=2.0 * model.num_moe_layers * _exchange(model, device, layout, recipe, tokens),
        hop_s=_hop(model, device, layout, tokens),
        gather_s=gather_s,
        reduce_s=reduce_s,
        mirror_s=mirror_s,
    )


def _exchange(model: Model, device: Device, layout: Layout, recipe: Recipe, tokens: Array) -> Array:
    """Return the time to send one micro-batch's tokens of one layer to their experts, one way [s].

    A token goes to each rank that holds one of its experts once. Some software sends it to each scale-up domain once
    and hands it on there, both at the same time.

    Source: DeepSeek-V3 report, arXiv 2412.19437, sections 2.1.2 (limit of nodes) and 3.2.2 (both links at once).
    """
    ep = np.asarray(layout.ep, np.float64)
    element = (np.asarray(recipe.dispatch_bytes) + ELEMENT_BYTES) / 2.0  # there in the format stated, back in 16 bits
    token_bytes = tokens / np.asarray(layout.tp) * model.routed_width * element * recipe.imbalance_ratio
    alone = collective_time("all_to_all", token_bytes * _reached(ep, model.top_k), ep, device)
    inside = np.minimum(ep, max(device.accelerator.scale_up_devices, 1))
    domains = np.ceil(ep / inside)
    if not np.any(recipe.node_dispatch_ratio) or np.all(domains <= 1):
        return alone
    reached = _reached(np.minimum(domains, model.top_groups or np.inf), model.top_k)
    across = collective_time("all_to_all", token_bytes * reached, domains, device, span=ep)
    within = collective_time("all_to_all", token_bytes * _reached(ep, model.top_k), inside, device)
    return alone + np.asarray(recipe.node_dispatch_ratio) * (np.minimum(alone, np.maximum(across, within)) - alone)


def _reached(places: Array, top_k: int) -> Array:
    """Return how many of so many equal places hold an expert of a token, on average."""
    found: Array = places * (1.0 - (1.0 - 1.0 / places) ** top_k)
    return found


def _hop(model: Model, device: Device, layout: Layout, tokens: Array) -> Array:
    """Return the time to hand one micro-batch's activations to the next pipeline stage [s]."""
    stride = np.asarray(layout.tp) * layout.cp * np.asarray(layout.dp)
    ends = np.where(np.asarray(layout.pp) > 1, 2, 1)  # a stage alone hands nothing over, and needs no link
    return collective_time(
        "point_to_point", tokens / layout.tp * model.hidden * ELEMENT_BYTES, ends, device, span=2 * stride
    )


def _between_replicas(model: Model, device: Device, layout: Layout, recipe: Recipe) -> tuple[Array, Array, Array]:
    """Return the time to gather the weights once, to reduce the gradients once, and to reduce them between copies [s].

    Dense parameters meet over dp x cp ranks, experts over the ranks that hold a copy of them. Without ZeRO the
    all-reduce is one reduce-scatter and one all-gather of the gradients, so the gather is of gradients there.
    """
    held, parts = shard(model, layout, lora_rank=recipe.lora_rank), whole(model, recipe.lora_rank)
    dense, expert, first, last = held.trained(recipe, parts)
    trained = dense + np.maximum(first, last)
    ranks, expert_ranks = layout.zero_ranks, layout.zero_expert_ranks
    span = ranks * layout.tp
    zero = np.asarray(layout.zero_stage)
    gathers_frozen = zero == 3
    gathered = np.where(gathers_frozen, held.dense_params + np.maximum(held.first_params, held.last_params), trained)
    gathered_expert = np.where(gathers_frozen, held.expert_params, expert)
    gradient = np.asarray(recipe.gradient_reduce_bytes)
    element = np.where(zero == 0, gradient, recipe.gather_bytes)

    def both(kind: str, dense_bytes: Array, expert_bytes: Array) -> Array:
        return collective_time(kind, dense_bytes, ranks, device, span=span) + np.where(
            np.asarray(expert_bytes) > 0,
            collective_time(kind, expert_bytes, expert_ranks, device, span=span),
            0.0,
        )

    mirrored = gradient * (trained / ranks + expert / expert_ranks)
    copies = np.asarray(layout.replicas)
    return (
        both("all_gather", element * gathered, element * gathered_expert),
        both("reduce_scatter", gradient * trained, gradient * expert),
        collective_time("all_reduce", mirrored, copies, device, span=copies * span),
    )
