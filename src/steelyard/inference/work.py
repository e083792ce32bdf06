"""What one engine step makes one device do, before anything calibrated: operators, collectives, tokens returned."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np

from steelyard import arch
from steelyard.records.operator import Operator
from steelyard.units import Array

_MIXES_TOKENS = ("attention", "scan")
_LOGIT_BYTES = 4.0  # logits are sampled from in fp32


class Sharding(Protocol):
    """How a replica is cut; a `Deployment`, or arrays over many of them in the same formats."""

    @property
    def tp(self) -> Array: ...
    @property
    def pp(self) -> Array: ...
    @property
    def dp(self) -> Array: ...
    @property
    def ep(self) -> Array: ...
    @property
    def weight_dtype(self) -> str: ...
    @property
    def kv_dtype(self) -> str: ...
    @property
    def compute_dtype(self) -> str: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """One kind of collective of a step: how large, among whom, how often."""

    kind: str
    payload_bytes: Array
    ranks: Array
    count: Array
    span: Array | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StepWork:
    """Work of one pass through all stages, for one micro-batch; arrays broadcast."""

    operators: tuple[tuple[Operator, float], ...]  # and whether each is a launch of its own
    exchanges: tuple[Exchange, ...]
    returned_tokens: Array  # sampled in this step, by one dp rank: each has a scheduler of its own
    prompts: Array  # prompts, or chunks of one, in this step on the busiest rank
    ranks: Array  # dp ranks, which one server answers for
    sampled_bytes: Array
    decoded_cache_bytes: Array  # KV cache that decoding sequences read
    expert_ranks: Array  # ranks that whole experts are spread over
    layers_count: Array
    expert_layers_count: Array

    @property
    def flop(self) -> Array:
        return sum((op.count * op.flop for op, _ in self.operators), 0.0)

    @property
    def weight_bytes(self) -> float:
        """Weights read in the step, the most where there are several."""
        return float(np.max(sum((op.count * op.weight_bytes for op, _ in self.operators), 0.0)))


def step_work(
    model: arch.Model,
    deployment: Sharding,
    *,
    decode_sequences: Array,
    context_tokens: Array,
    prefill_tokens: Array = 0.0,
    prompt_tokens: Array | None = None,
    prompt_context_tokens: Array = 0.0,
    prompt_ranks: Array = np.inf,
    decode_tokens: Array = 1.0,
    routing_spread_ratio: float = 1.0,
) -> StepWork:
    """Return what one step makes one device do; arguments as for `step`.

    Sequences are spread evenly over the dp ranks of attention, and over pp micro-batches that are in different stages
    at the same time. A prompt is not cut: `prompt_ranks` of these dp x pp places have one (or more) in this step, and
    the step is as long as on the busiest of them. Experts see the tokens of all dp ranks.
    """
    dp, pp = (np.asarray(ways, dtype=np.float64) for ways in (deployment.dp, deployment.pp))
    places = np.clip(np.asarray(prompt_ranks, dtype=np.float64), 1.0, dp * pp)
    beside = np.minimum(places, dp)  # places in one micro-batch
    decoded = np.asarray(decode_sequences, dtype=np.float64) / (dp * pp)  # of one rank, in one micro-batch
    prefilled = np.asarray(prefill_tokens, dtype=np.float64) / places
    chunk = np.maximum(np.asarray(prefill_tokens if prompt_tokens is None else prompt_tokens, dtype=np.float64), 1.0)
    prompts = prefilled / chunk
    verified = decoded * decode_tokens  # one token a sequence, or those that a draft proposed as well
    tokens = verified + prefilled
    returned = verified + np.minimum(prompts, prefilled)  # a prompt that ends here returns its first token

    together = _forward(model, deployment, tokens, 1.0, 0.0, deployment.tp)
    decoding = _forward(model, deployment, decoded, decode_tokens, context_tokens, deployment.tp, "all")
    prefilling = _forward(model, deployment, prompts, chunk, prompt_context_tokens, deployment.tp)
    routed = [op for op in together if _of_experts(op)]
    if routed and np.any(dp > 1):
        everywhere = _forward(model, deployment, verified * dp + prefilled * beside, 1.0, 0.0, deployment.tp * dp)
        routed = [op for op in everywhere if _of_experts(op)]
    routed = [
        _with_locality(op, model, deployment.ep, verified * dp + prefilled * beside, routing_spread_ratio)
        for op in routed
    ]
    shared = [op for op in together if op.place != "head" and op.kind not in _MIXES_TOKENS and not _of_experts(op)]
    heads = [op for op in decoding if op.place == "head"]
    mixing = [op for op in decoding if op.kind in _MIXES_TOKENS]
    # Decode and prefill attention are one ragged kernel: its launch is counted once.
    chunks = [op for op in prefilling if op.kind in _MIXES_TOKENS]
    launched = [(op, 1.0) for op in (*shared, *routed, *heads, *mixing)]
    return StepWork(
        operators=(*launched, *((op, 0.0) for op in chunks)),
        exchanges=_exchanges(model, deployment, tokens),
        returned_tokens=returned,
        prompts=np.minimum(prompts, prefilled),
        ranks=dp,
        sampled_bytes=2.0 * returned * model.vocab * _LOGIT_BYTES / deployment.tp,  # written, read once
        decoded_cache_bytes=sum((op.count * op.cache_bytes for op in mixing if op.kind == "attention"), 0.0),
        expert_ranks=np.asarray(deployment.ep, dtype=np.float64) if model.num_moe_layers else np.asarray(1.0),
        layers_count=float(model.num_layers),
        expert_layers_count=float(model.num_moe_layers),
    )


def _with_locality(op: Operator, model: arch.Model, ep: Array, tokens: Array, spread: float) -> Operator:
    """Return an operator of experts that reads those which `tokens` reach when only a share of them choose anew."""
    if op.kind != "grouped_gemm" or spread >= 1.0:
        return op
    fresh = np.minimum(tokens, 1.0) + spread * np.maximum(tokens - 1.0, 0.0)
    hit = arch.experts_hit(model.num_experts, model.top_k, fresh, np.asarray(ep, dtype=np.float64))
    return dataclasses.replace(op, weight_bytes=op.weight_bytes * (hit / np.maximum(op.groups, 1e-9)), groups=hit)


def _of_experts(op: Operator) -> bool:
    return op.kind in ("grouped_gemm", "dispatch")


def _forward(
    model: arch.Model,
    deployment: Sharding,
    batch: Array,
    new_tokens: Array,
    context_tokens: Array,
    tp: Array,
    logits: Literal["all", "last"] = "last",
) -> tuple[Operator, ...]:
    return arch.forward_operators(
        model,
        batch=batch,
        new_tokens=new_tokens,
        context_tokens=context_tokens,
        tp=tp,
        ep=deployment.ep,
        weight_dtype=deployment.weight_dtype,
        compute_dtype=deployment.compute_dtype,
        kv_dtype=deployment.kv_dtype,
        logits=logits,
    )


def _exchanges(model: arch.Model, deployment: Sharding, tokens: Array) -> tuple[Exchange, ...]:
    """Return the collectives of a pass: all-reduces of tp, dispatch and combine of experts, hand-overs of stages.

    Every layer reduces after attention and after its feed-forward block. With data-parallel attention the
    feed-forward reduction of a mixture is instead a gather of all ranks' tokens before and a scatter of their
    results after.
    """
    tp, dp, pp = (np.asarray(ways, dtype=np.float64) for ways in (deployment.tp, deployment.dp, deployment.pp))
    payload = tokens * model.hidden * arch.dtype_bytes("bf16")
    found = []
    if np.any(tp > 1):
        reductions = 2.0 * model.num_layers - np.where(dp > 1, model.num_moe_layers, 0)
        found.append(Exchange(kind="all_reduce", payload_bytes=payload, ranks=tp, count=reductions))
    if model.num_moe_layers and np.any(dp > 1):
        count = np.where(dp > 1, float(model.num_moe_layers), 0.0)
        for kind in ("all_gather", "reduce_scatter"):
            found.append(Exchange(kind=kind, payload_bytes=payload * dp, ranks=dp * tp, count=count))
    if np.any(pp > 1):
        found.append(
            Exchange(kind="point_to_point", payload_bytes=payload / tp, ranks=np.minimum(pp, 2.0), count=pp - 1.0)
        )
    return tuple(found)
