"""Time of one engine step: sequences that decode and chunks of prompts that prefill, in one pass."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from steelyard import arch
from steelyard import device as _device
from steelyard.device import Device
from steelyard.inference.deployment import Deployment
from steelyard.inference.engine import Engine, engine_for
from steelyard.records.operator import Operator
from steelyard.records.term import term
from steelyard.units import Array

_TABLE = "calibration/inference.toml"
_MIXES_TOKENS = ("attention", "scan")
_LOGIT_BYTES = 4.0  # logits are sampled from in fp32


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """Time of one step, by what it is spent on."""

    total_s: Array = term(
        "time of one step", "s", "matrix_s + attention_s + other_s + collective_s + engine_s",
        parts=("matrix_s", "attention_s", "other_s", "collective_s", "engine_s"),
    )  # fmt: skip
    matrix_s: Array = term("matrix products", "s", "roofline, all tokens of the step together")
    attention_s: Array = term("attention", "s", "roofline; decoding reads each sequence's cache, prefill is causal")
    other_s: Array = term("elementwise work, sampling, launches", "s", "bytes / bandwidth + kernels * launch")
    collective_s: Array = term("tensor-parallel all-reduces", "s", "2 a layer, latency + bytes / bandwidth")
    flop: Array = term("model FLOP per device", "flop", "sum over operators")
    engine_s: Array = term("engine", "s", "step_overhead_s + tokens returned * sequence_overhead_s", _TABLE)


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
    engine: Engine | None = None,
) -> Step:
    """Return the time of one step of continuous batching, by what it is spent on [s].

    t = matrices(decoded + prefilled tokens) + attention of either + all-reduces + engine overhead

    Args:
        model, device, deployment: What is served on what.
        decode_sequences: Sequences that get one token each (any shape; all arguments broadcast).
        context_tokens: Mean tokens cached per decoding sequence.
        prefill_tokens: Prompt tokens processed in the step.
        prompt_tokens: Of how many tokens each prompt, or chunk of one, is; `prefill_tokens` (one prompt) when None.
        prompt_context_tokens: Tokens of the same prompt that were processed before.
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
    engine = engine or engine_for(device)
    decoded, prefilled = np.asarray(decode_sequences, dtype=np.float64), np.asarray(prefill_tokens, dtype=np.float64)
    chunk = np.maximum(prefilled if prompt_tokens is None else np.asarray(prompt_tokens, dtype=np.float64), 1.0)
    prompts = prefilled / chunk
    tokens = decoded + prefilled
    returned = decoded + np.minimum(prompts, prefilled)  # a prompt that ends in this step returns its first token

    together = _forward(model, deployment, tokens, 1.0, 0.0)
    decoding = _forward(model, deployment, decoded, 1.0, context_tokens)
    prefilling = _forward(model, deployment, prompts, chunk, prompt_context_tokens)
    shared = [op for op in together if op.place != "head" and op.kind not in _MIXES_TOKENS]
    shared += [op for op in decoding if op.place == "head"]
    mixing = [op for op in decoding if op.kind in _MIXES_TOKENS]
    done = _device.pass_time([*shared, *mixing], device)
    # Decode and prefill attention are one ragged kernel: its launch is counted once.
    chunks = _device.pass_time([op for op in prefilling if op.kind in _MIXES_TOKENS], device, launch=False)
    attention_s = done.attention_s + chunks.attention_s
    sampled_bytes = 2.0 * returned * model.vocab * _LOGIT_BYTES / deployment.tp  # written by the head, read once
    sampling_s = sampled_bytes / (device.accelerator.hbm_bytes_per_s * device.efficiency.memory_ratio)
    other_s = done.other_s + done.launch_s + sampling_s
    collective_s = _collective_s(model, device, deployment, tokens)
    work = [*shared, *mixing, *(op for op in prefilling if op.kind in _MIXES_TOKENS)]
    engine_s = engine.step_overhead_s + returned * engine.sequence_overhead_s
    return Step(
        total_s=done.gemm_s + attention_s + other_s + collective_s + engine_s,
        matrix_s=done.gemm_s,
        attention_s=attention_s,
        other_s=other_s,
        collective_s=collective_s,
        engine_s=engine_s,
        flop=sum((op.count * op.flop for op in work), 0.0),
    )


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


def _forward(
    model: arch.Model, deployment: Deployment, batch: Array, new_tokens: Array, context_tokens: Array
) -> tuple[Operator, ...]:
    return arch.forward_operators(
        model,
        batch=batch,
        new_tokens=new_tokens,
        context_tokens=context_tokens,
        tp=deployment.tp,
        ep=deployment.ep,
        weight_dtype=deployment.weight_dtype,
        compute_dtype=deployment.compute_dtype,
        kv_dtype=deployment.kv_dtype,
        logits="last",
    )


def _collective_s(model: arch.Model, device: Device, deployment: Deployment, tokens: Array) -> Array:
    """Return the time of the all-reduces after attention and after the feed-forward block of every layer [s].

    Engines take the better of two ways: by halves in several steps, or, for small messages within a scale-up domain,
    every rank reading the whole message of every other in one step.
    """
    ranks = float(deployment.tp)
    if deployment.tp == 1:
        return np.zeros_like(tokens)
    payload = tokens * model.hidden * arch.dtype_bytes("bf16")
    once = _device.collective_time("all_reduce", payload, ranks, device)
    card = device.accelerator
    if card.scale_up_bytes_per_s > 0 and deployment.tp <= card.scale_up_devices:
        at_once = _device.collective_time("point_to_point", payload * (ranks - 1.0), ranks, device)
        once = np.minimum(once, at_once)
    return 2.0 * model.num_layers * once
