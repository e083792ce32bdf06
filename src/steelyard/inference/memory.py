"""Where the memory of a serving replica goes, and how many sequences its KV pool holds."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from steelyard import arch
from steelyard.device import Device
from steelyard.errors import DoesNotFitError
from steelyard.inference.deployment import Deployment
from steelyard.inference.engine import Engine, engine_for
from steelyard.records.term import term
from steelyard.records.workload import Lengths
from steelyard.units import Array

_TABLE = "calibration/inference.toml"
_LOGIT_BYTES = 4.0  # logits are sampled from in fp32


@dataclass(frozen=True, slots=True, kw_only=True)
class ServingMemory:
    """Memory of one device of a replica [bytes]."""

    kv_pool_bytes: Array = term(
        "KV pool per device", "bytes",
        "(budget_bytes - weight_bytes - activation_bytes - framework_bytes) * share of it that the engine takes",
        "engines profile a pass and give the rest, or a share of it, to the KV cache (catalogue, tables/engines.csv)",
        parts=("budget_bytes", "weight_bytes", "activation_bytes", "framework_bytes"),
    )  # fmt: skip
    budget_bytes: Array = term(
        "memory the engine takes", "bytes", "printed capacity * visible share * engine's share", _TABLE
    )
    weight_bytes: Array = term("weights per device", "bytes", "all weights with scales, shared out over tp, pp and ep")
    activation_bytes: Array = term("activation peak", "bytes", "widest tensors of one full step + logits of one batch")
    framework_bytes: Array = term("context, buffers, captured graphs", "bytes", "", _TABLE)
    sequence_bytes: Array = term(
        "KV cache of a running sequence, per device",
        "bytes",
        "cache at prompt + half the answer (all of it where the engine reserves), in whole blocks, mean over time",
    )
    sequence_square_bytes: Array = term("root mean square of it", "bytes", "")
    max_sequences: Array = term(
        "sequences the pool holds",
        "",
        "max(0, kv_pool_bytes) / sequence_bytes",
        parts=("kv_pool_bytes", "sequence_bytes"),
    )


def memory(
    model: arch.Model, device: Device, deployment: Deployment, lengths: Lengths, *, engine: Engine | None = None
) -> ServingMemory:
    """Return the memory of one device of a serving replica [bytes].

    pool = (capacity * visible * utilisation - weights / (tp pp) - activation peak - framework) * engine's share

    Args:
        model, device, deployment: What is served on what.
        lengths: Requests; a sequence holds its prompt and, on average over its decode time, half its answer, in
            whole blocks. An engine that never evicts reserves room for the whole answer.
        engine: Its rules; the defaults for the device when None.

    Returns:
        `ServingMemory`; a negative pool means that the weights do not fit.

    Assumes:
        KV heads are shared out over tp ranks down to one whole head each; a latent cache is held by every rank.
        Stages hold equal shares of layers; dp ranks hold all of attention and other sequences.

    Source:
        Kwon et al., "Efficient Memory Management for Large Language Model Serving with PagedAttention", SOSP 2023.

    Example:
        >>> from steelyard import arch, device
        >>> asked = Lengths(isl_tokens=np.array([1000.0]), osl_tokens=np.array([200.0]))
        >>> small = memory(arch.load("llama-3.1-8b"), device.load("h100"), Deployment(), asked)
        >>> bool(small.max_sequences > 100)
        True
    """
    engine = engine or engine_for(device)
    budget = device.accelerator.hbm_bytes * engine.visible_memory_ratio * engine.gpu_memory_utilization_ratio
    weights = replica_weight_bytes(model, deployment)
    activations = _activation_bytes(model, deployment, engine)
    free = budget - weights - activations - engine.framework_bytes
    pool = free * np.where(np.asarray(free) > 0, engine.free_memory_ratio, 1.0)
    per_device = sequence_cache_bytes(model, deployment, lengths.isl_tokens, lengths.osl_tokens, engine)
    time = lengths.osl_tokens / lengths.osl_tokens.sum()  # a sequence stays as long as its answer is
    mean = float(per_device @ time)
    return ServingMemory(
        kv_pool_bytes=pool,
        budget_bytes=budget,
        weight_bytes=weights,
        activation_bytes=activations,
        framework_bytes=engine.framework_bytes,
        sequence_bytes=mean,
        sequence_square_bytes=float(np.sqrt(per_device**2 @ time)),
        max_sequences=np.maximum(pool, 0.0) / mean,
    )


def replica_weight_bytes(model: arch.Model, deployment: Deployment) -> Array:
    """Return the weights that one device of a replica holds [bytes].

    Example:
        >>> from steelyard import arch
        >>> whole, half = (replica_weight_bytes(arch.load("llama-3.1-8b"), Deployment(pp=pp)) for pp in (1, 2))
        >>> whole == 2 * half
        True
    """
    # Experts lie on all tp x dp ranks, whole or cut; one expert over several ranks is as much as several on one.
    ep = max(deployment.ep, deployment.tp * deployment.dp) if deployment.dp > 1 else deployment.ep
    return arch.weight_bytes(model, deployment.weight_dtype, tp=deployment.tp, ep=ep) / deployment.pp


def sequence_cache_bytes(
    model: arch.Model, deployment: Deployment, isl_tokens: Array, osl_tokens: Array, engine: Engine
) -> npt.NDArray[np.float64]:
    """Return the KV cache of a running sequence on one device, as a mean over devices and over its time [bytes]."""
    held = isl_tokens + osl_tokens * np.where(np.asarray(engine.reserves_answer) > 0, 1.0, 0.5)
    block = np.maximum(engine.kv_block_tokens, 1.0)
    # A growing sequence's last block is half full on average.
    tokens = np.where(np.asarray(engine.reserves_answer) > 0, np.ceil(held / block) * block, held + (block - 1.0) / 2.0)
    of_rank = arch.cache_bytes(model, tokens, kv_dtype=deployment.kv_dtype, tp=deployment.tp)
    return np.asarray(of_rank / (deployment.pp * deployment.dp), dtype=np.float64)


def _activation_bytes(model: arch.Model, deployment: Deployment, engine: Engine) -> float:
    """Return the widest operator's inputs and outputs in a step of full size, the residual stream and the logits."""
    tokens = float(np.max(engine.chunk_tokens))
    operators = arch.forward_operators(
        model, batch=tokens, new_tokens=1.0, tp=deployment.tp, ep=deployment.ep, weight_dtype=deployment.weight_dtype
    )
    widest = max(
        float(np.max(op.activation_bytes))
        for op in operators
        if op.place == "layer" and op.kind not in ("elementwise", "dispatch")
    )
    logits = float(np.max(engine.max_sequences)) / deployment.dp * model.vocab * _LOGIT_BYTES / deployment.tp
    return widest + tokens * model.hidden * arch.dtype_bytes("bf16") + logits


def shortfall(held: ServingMemory) -> tuple[float, str]:
    """Return what a sequence beside the weights needs of a device over what is free, and in words; "" where it fits."""
    if float(np.max(held.max_sequences)) >= 1.0:
        return 1.0, ""
    free = float(np.max(held.budget_bytes - held.activation_bytes - held.framework_bytes))
    need = float(np.max(held.weight_bytes + held.sequence_bytes))
    return (
        need / free if free > 0 else math.inf,
        f"weights and one sequence need {need / 1e9:.1f} GB a device, {free / 1e9:.1f} GB are free for them",
    )


def require_fit(model: arch.Model, device: Device, deployment: Deployment, held: ServingMemory) -> None:
    """Raise when not one sequence fits beside the weights; the message says what is missing and what would help.

    Raises:
        DoesNotFitError: The pool is smaller than one sequence.
    """
    _, lacking = shortfall(held)
    if not lacking:
        return
    wider = f"--tp {deployment.tp * 2}" if deployment.tp < 8 else "more devices"
    narrower = " or fp8 weights" if arch.dtype_bytes(deployment.weight_dtype) > 1 else ""
    raise DoesNotFitError(
        f"{model.id} in {deployment.weight_dtype} on {deployment.num_devices}x {device.id}: {lacking}; "
        f"try {wider}{narrower}"
    )
