"""Time of one engine step: sequences that decode and chunks of prompts that prefill, in one pass."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from steelyard import arch
from steelyard import device as _device
from steelyard.device import Device, Efficiency, Links, collective_time_over, fused_all_reduce_time
from steelyard.inference.deployment import Deployment
from steelyard.inference.engine import Engine, engine_for, served
from steelyard.inference.work import Exchange, StepWork, step_work
from steelyard.records.operator import Operator
from steelyard.records.term import term
from steelyard.units import Array

_TABLE = "calibration/inference.toml"


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """Time of one step, by what it is spent on."""

    total_s: Array = term(
        "time of one step", "s", "matrix_s + attention_s + other_s + collective_s + host_s + engine_s + server_s",
        parts=("matrix_s", "attention_s", "other_s", "collective_s", "host_s", "engine_s", "server_s"),
    )  # fmt: skip
    matrix_s: Array = term("matrix products", "s", "roofline, all tokens of the step together")
    attention_s: Array = term("attention", "s", "roofline; decoding reads each sequence's cache, prefill is causal")
    other_s: Array = term(
        "elementwise work, sampling, launches", "s",
        "bytes / bandwidth + kernels * launch; and the KV cache once more, read and written, where it is not in blocks",
    )  # fmt: skip
    collective_s: Array = term(
        "collectives", "s", "all-reduces of tp, 2 a layer; gather and scatter of experts' tokens; hand-overs of stages"
    )
    host_s: Array = term(
        "waiting for the processor's launches", "s",
        "outside captured graphs: max(0, layers * time to launch one - all that runs on the device); that time is "
        "host_layer_s, or launches * host_launch_s where an engine's were counted", _TABLE,
    )  # fmt: skip
    flop: Array = term("model FLOP per device", "flop", "sum over operators")
    engine_s: Array = term(
        "engine",
        "s",
        "step_overhead_s (less what runs on the device, where it schedules beside it) + tokens returned * "
        "sequence_overhead_s + prompts * prompt_overhead_s",
        _TABLE,
    )
    server_s: Array = term(
        "waiting for the server", "s", "max(0, tokens returned * stream_token_s - all other parts)", _TABLE
    )


def step(
    model: arch.Model,
    device: Device,
    deployment: Deployment,
    *,
    decode_sequences: Array,
    context_tokens: Array,
    prefill_tokens: Array = 0.0,
    prompt_tokens: Array | None = None,
    prompt_context_tokens: Array = 0.0,
    prompt_ranks: Array = np.inf,
    decode_tokens: Array = 1.0,
    engine: Engine | None = None,
) -> Step:
    """Return the time of one step of continuous batching, by what it is spent on [s].

    t = (matrices(decoded + prefilled tokens) + attention of either + collectives) * time_ratio + engine overhead

    Args:
        model, device, deployment: What is served on what.
        decode_sequences: Sequences that get one token each (any shape; all arguments broadcast).
        context_tokens: Mean tokens cached per decoding sequence.
        prefill_tokens: Prompt tokens processed in the step.
        prompt_tokens: Of how many tokens each prompt, or chunk of one, is; `prefill_tokens` (one prompt) when None.
        prompt_context_tokens: Tokens of the same prompt that were processed before.
        prompt_ranks: Of the dp x pp places of a replica, how many have prompts in this step; all when infinite.
        decode_tokens: Tokens of each decoding sequence that pass at once: 1, or 1 + those that a draft proposed.
        engine: Its overheads; the defaults for the device when None.

    Returns:
        `Step`, in the broadcast shape.

    Raises:
        UnknownError: The device cannot compute in the deployment's format.

    Assumes:
        Matrices run once over all tokens of the step; nothing overlaps communication.

    Source:
        Agrawal et al., "Taming Throughput-Latency Tradeoff in LLM Inference with Sarathi-Serve", OSDI 2024.

    Example:
        >>> from steelyard import arch, device
        >>> llama, h100 = arch.load("llama-3.1-8b"), device.load("h100")
        >>> batch = np.array([1.0, 2.0])
        >>> one, many = step(llama, h100, Deployment(), decode_sequences=batch, context_tokens=1000.0).total_s
        >>> bool(one < many < 2 * one)
        True
    """
    engine, device = engine or engine_for(device), served(device)
    work = step_work(
        model,
        deployment,
        decode_sequences=decode_sequences,
        context_tokens=context_tokens,
        prefill_tokens=prefill_tokens,
        prompt_tokens=prompt_tokens,
        prompt_context_tokens=prompt_context_tokens,
        prompt_ranks=prompt_ranks,
        decode_tokens=decode_tokens,
        routing_spread_ratio=engine.routing_spread_ratio,
    )
    return time_step(work, _device.reading_again(device, work.weight_bytes), engine)


def time_step(work: StepWork, device: Device, engine: Engine) -> Step:
    """Return the time of a step from what it does [s]."""
    reached = device.efficiency
    spent: dict[str, Array] = dict.fromkeys(("matrix", "attention", "other"), 0.0)
    kernels: Array = 0.0
    for op, launched in work.operators:
        took = op.count * _device.time_at(op, _device.rates_for(op, device), reached)
        took = took * in_engine_ratio(op, work.expert_ranks, engine)
        spent[part_of(op)] = spent[part_of(op)] + took
        kernels = kernels + op.count * launched * _device.kernels_of(op, reached)
    links = _device.links_of(device)
    collective_s: Array = 0.0
    for one in work.exchanges:
        collective_s = collective_s + one.count * exchange_s(one, links, reached)
    moved_s = moved_time(work, device.accelerator.hbm_bytes_per_s, reached, engine)
    return assemble(spent, kernels * reached.kernel_launch_s, moved_s, collective_s, work, engine, flop=work.flop)


def moved_time(work: StepWork, hbm_bytes_per_s: Array, reached: Efficiency, engine: Engine) -> Array:
    """Return the time of what a step moves beside its operators [s]: logits; the KV cache where it is written anew.

    That is a copy of rows by their index, as of tokens to their experts, and no faster.
    """
    copied_bytes = 2.0 * engine.copies_cache * work.decoded_cache_bytes  # read and written
    moved_bytes = work.sampled_bytes + copied_bytes / reached.dispatch_memory_ratio
    return moved_bytes / (hbm_bytes_per_s * reached.memory_ratio)


def assemble(
    spent: Mapping[str, Array],
    launch_s: Array,
    moved_s: Array,
    collective_s: Array,
    work: StepWork,
    engine: Engine,
    *,
    flop: Array,
) -> Step:
    """Return a step from its parts: what the engine does between steps comes on top of what the device does.

    Outside a captured graph the processor launches every kernel, ahead of the device or, with little work in each,
    behind it: such a step is as long as the longer of the two.
    """
    ratio = engine.time_ratio
    parts: dict[str, Array] = {
        "matrix_s": spent["matrix"] * ratio,
        "attention_s": spent["attention"] * ratio,
        "other_s": (spent["other"] + launch_s + moved_s) * ratio,
        "collective_s": collective_s * ratio,
    }
    launches = np.asarray(engine.layer_launches_count)
    layer_s = np.where(launches > 0, launches * engine.host_launch_s, engine.host_layer_s)
    launching_s = layer_s * work.layers_count + engine.host_expert_s * work.expert_layers_count
    eager = np.maximum(engine.eager_steps, (np.asarray(work.prompts) > 0) * np.asarray(engine.eager_prompts))
    parts["host_s"] = eager * np.maximum(launching_s - sum(parts.values(), 0.0), 0.0)
    hidden_s = engine.overlaps_steps * np.minimum(engine.step_overhead_s, sum(parts.values(), 0.0))
    parts["engine_s"] = (
        engine.step_overhead_s
        - hidden_s
        + work.returned_tokens * engine.sequence_overhead_s
        + work.prompts * engine.prompt_overhead_s
    )
    busy_s = sum(parts.values(), 0.0)
    server_s = np.maximum(work.returned_tokens * work.ranks * engine.stream_token_s - busy_s, 0.0)
    return Step(total_s=busy_s + server_s, server_s=server_s, flop=flop, **parts)


def part_of(op: Operator) -> str:
    """Return the part of a step that an operator counts to."""
    if op.kind in {"gemm", "grouped_gemm"}:
        return "matrix"
    return "attention" if op.kind in {"attention", "scan"} else "other"


def in_engine_ratio(op: Operator, expert_ranks: Array, engine: Engine) -> Array:
    """Return how much longer an operator takes in an engine than its kernels do alone (ratio)."""
    if op.kind == "grouped_gemm":
        return _imbalance(op.groups, expert_ranks, engine)
    return engine.elementwise_ratio if op.kind == "elementwise" else 1.0


def _imbalance(groups: Array, expert_ranks: Array, engine: Engine) -> Array:
    """Return how much longer the busiest rank works on its experts than the mean one (ratio).

    1 + skew * sqrt(2 ln(ranks) / groups): with `groups` experts hit on a rank by chance, the busiest of the ranks has
    about that much more to do, and all wait for it; skew 1 is even routing.
    """
    ranks = np.maximum(expert_ranks, 1.0)
    return 1.0 + engine.expert_skew_ratio * np.sqrt(2.0 * np.log(ranks) / np.maximum(groups, 1.0))


def exchange_s(one: Exchange, links: Links, reached: Efficiency) -> Array:
    """Return the time of one collective of a step [s].

    For an all-reduce, engines take the better of the library's and their own.
    """
    once = collective_time_over(one.kind, one.payload_bytes, one.ranks, links, reached)
    if one.kind != "all_reduce":
        return once
    return np.minimum(once, fused_all_reduce_time(one.payload_bytes, one.ranks, links, reached))


def step_time(
    model: arch.Model,
    device: Device,
    deployment: Deployment,
    *,
    decode_sequences: Array,
    context_tokens: Array,
    prefill_tokens: Array = 0.0,
    engine: Engine | None = None,
) -> Array:
    """Return the time of one engine step [s]: `step(...).total_s`.

    Example:
        >>> from steelyard import arch, device
        >>> bool(step_time(arch.load("llama-3.1-8b"), device.load("h100"), Deployment(),
        ...                decode_sequences=1.0, context_tokens=1000.0) > 15e9 / 3.35e12)
        True
    """
    return step(
        model,
        device,
        deployment,
        decode_sequences=decode_sequences,
        context_tokens=context_tokens,
        prefill_tokens=prefill_tokens,
        engine=engine,
    ).total_s
