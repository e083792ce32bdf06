"""Capacity of one replica: the largest request rate within memory and objective, in closed form."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from steelyard import arch
from steelyard.device import Device, effective_compute_dtype, peak_flop_per_s, power_w
from steelyard.inference.deployment import Deployment
from steelyard.inference.engine import Engine, engine_for, of_replica, served
from steelyard.inference.memory import ServingMemory, memory, require_fit
from steelyard.inference.points import Curve, Points, operating_points, sequences_within
from steelyard.inference.speculation import Speculation
from steelyard.inference.step import Step, step
from steelyard.records.term import term
from steelyard.records.workload import Lengths, Objective
from steelyard.units import Array


@dataclass(frozen=True, slots=True, kw_only=True)
class Capacity:
    """What one replica carries; fields have the shape of `time_ratio`."""

    request_rate_per_s: Array = term(
        "largest request rate", "request_per_s", "batch / (mean OSL * mean TPOT)", "Little's law",
        parts=("batch", "mean_tpot_s", "mean_osl_tokens"),
    )  # fmt: skip
    batch: Array = term(
        "sequences decoding, mean", "", "smallest of the limits by KV memory, engine, TPOT and TTFT objective",
        parts=("kv_batch_count", "engine_batch_count", "tpot_batch_count", "ttft_batch_count"),
    )  # fmt: skip
    kv_batch_count: Array = term(
        "limit by KV memory", "", "KV pool / bytes per sequence, less burst headroom", parts=("memory",)
    )
    engine_batch_count: Array = term("limit by the engine's batch and token budget", "", "")
    tpot_batch_count: Array = term("limit by the TPOT objective", "", "")
    ttft_batch_count: Array = term("limit by the TTFT objective", "", "")
    ttft_s: Array = term(
        "TTFT at the objective's percentile", "s", "request overhead + rest of a step + queue for prefill + own prefill"
    )
    tpot_s: Array = term("TPOT at the objective's percentile", "s", "steps of a request, prompts of others in them")
    mean_ttft_s: Array = term("mean TTFT", "s", "")
    mean_tpot_s: Array = term("mean TPOT", "s", "time between two requests * batch / mean OSL", parts=("step",))
    mean_osl_tokens: float = term("mean output length", "token", "")
    e2e_s: Array = term(
        "end to end, answer of mean length", "s", "ttft_s + mean OSL * tpot_s", parts=("ttft_s", "tpot_s")
    )
    output_tokens_per_s: Array = term(
        "output throughput", "token_per_s", "request rate * mean OSL", parts=("request_rate_per_s",)
    )
    device_s_per_request: Array = term(
        "device time per request", "device_s", "devices / request rate", parts=("request_rate_per_s",)
    )
    it_energy_j_per_request: Array = term(
        "IT energy per request, at this rate",
        "j",
        "devices * power(busy, utilisation) / request rate",
        parts=("request_rate_per_s", "busy_ratio", "mfu_ratio"),
    )
    busy_ratio: Array = term("share of time with a running step", "ratio", "min(1, batch)")
    mfu_ratio: Array = term(
        "FLOP utilisation while a step runs",
        "ratio",
        "rate * FLOP of a request / (printed peak * busy)",
        parts=("step",),
    )
    prefill_time_ratio: Array = term("share of time that prompts add", "ratio", "")
    memory: ServingMemory
    step: Step
    limited_by: str  # what stops a larger batch: "KV memory", "engine", "TPOT objective", "TTFT objective"
    num_devices: int

    @property
    def kv_limited(self) -> bool:
        return self.limited_by == "KV memory"


def steady(
    model: arch.Model,
    device: Device,
    deployment: Deployment,
    lengths: Lengths,
    objective: Objective,
    *,
    time_ratio: Array = 1.0,
    arrival_cv_ratio: float = 1.0,
    engine: Engine | None = None,
    speculation: Speculation | None = None,
) -> Capacity:
    """Return the largest steady request rate of one replica that meets the objective, and what it is like there.

    The mean batch is the smallest of four limits: the KV pool (with headroom for bursts when a TTFT is asked for),
    the engine's largest batch and token budget, and the batches at which TPOT and TTFT reach their limits. Without an
    objective it is the throughput optimum; TTFT then excludes the wait for a free place.

    Args:
        model, device, deployment: One replica.
        lengths: Requests.
        objective: Limits and percentiles; infinity where nothing is asked.
        time_ratio: True over predicted step time; any shape, for example draws [D] or [D, 1].
        arrival_cv_ratio: Coefficient of variation of the gaps between requests at this replica, 1 for Poisson.
        engine: Its rules; the defaults for the device when None.
        speculation: A draft, if there is one.

    Returns:
        `Capacity`; its rate is 0 where even one request at a time misses the objective.

    Raises:
        DoesNotFitError: The weights and one sequence do not fit.

    Assumes:
        Continuous batching with chunked prefill on the same devices; no preemption; places are given first come first
        served; a prefix cache saves prefill and no memory.

    Source:
        Yu et al., "Orca", OSDI 2022; Agrawal et al., "Sarathi-Serve", OSDI 2024 (continuous batching, chunked
        prefill); Whitt, "Heavy-traffic approximations for queues with many servers" (square-root headroom).

    Example:
        >>> from steelyard import arch, device
        >>> from steelyard.inference import lengths_from_stated
        >>> asked = lengths_from_stated({"fixed": 1000}, {"fixed": 200})
        >>> llama, h100 = arch.load("llama-3.1-8b"), device.load("h100")
        >>> loose = steady(llama, h100, Deployment(), asked, Objective())
        >>> strict = steady(llama, h100, Deployment(), asked, Objective(tpot_s=0.015, ttft_s=0.5))
        >>> bool(strict.request_rate_per_s < loose.request_rate_per_s)
        True
    """
    engine = engine or engine_for(device)
    held = memory(model, device, deployment, lengths, engine=engine)
    require_fit(model, device, deployment, held)
    engine, draft = of_replica(engine, deployment), speculation or Speculation()
    points = operating_points(
        model,
        device,
        deployment,
        lengths,
        objective,
        engine,
        arrival_cv_ratio=arrival_cv_ratio,
        closed=not math.isfinite(objective.ttft_s),
        speculation=draft,
    )
    ratio = np.asarray(time_ratio, dtype=np.float64)
    limits = _limits(points, held, lengths, objective, engine, ratio, arrival_cv_ratio)
    batch = np.minimum.reduce(list(limits.values()))
    tightest = min(limits, key=lambda name: float(np.median(limits[name])))
    return _capacity(model, device, deployment, lengths, engine, draft, held, points, ratio, batch, limits, tightest)


def _limits(
    points: Points,
    held: ServingMemory,
    lengths: Lengths,
    objective: Objective,
    engine: Engine,
    ratio: Curve,
    arrival_cv_ratio: float,
) -> dict[str, Curve]:
    """Return the largest batch that each constraint allows, in the shape of `ratio`."""
    asked = math.isfinite(objective.ttft_s)
    percentile = objective.ttft_percentile if asked else 0.0  # bursts need headroom only where waiting matters
    pool = np.maximum(held.kv_pool_bytes, 0.0)
    kv = sequences_within(
        pool, float(held.sequence_bytes), float(held.sequence_square_bytes) ** 2, percentile, arrival_cv_ratio
    )
    places = sequences_within(engine.max_sequences, 1.0, 1.0, percentile, arrival_cv_ratio)
    budget = engine.chunk_tokens / (1.0 + points.mean_prefill_tokens / lengths.mean_osl_tokens)
    flat = np.ones_like(ratio)
    return {
        "KV memory": np.asarray(kv) * flat,
        "engine": np.minimum(places, budget) * flat,
        "TPOT objective": _largest(points.tpot_s, points.batch, objective.tpot_s / ratio),
        "TTFT objective": _largest(points.ttft_s, points.batch, objective.ttft_s / ratio),
    }


def _largest(curve: Curve, batch: Curve, limit: Array) -> Curve:
    """Return the largest batch at which a rising curve keeps the limit; 0 where none does."""
    return np.asarray(np.interp(limit, curve, batch, left=0.0, right=math.inf))


def _capacity(
    model: arch.Model,
    device: Device,
    deployment: Deployment,
    lengths: Lengths,
    engine: Engine,
    draft: Speculation,
    held: ServingMemory,
    points: Points,
    ratio: Curve,
    batch: Curve,
    limits: dict[str, Curve],
    tightest: str,
) -> Capacity:
    osl = lengths.mean_osl_tokens
    mean_tpot = points.at(points.mean_tpot_s, batch) * ratio
    rate = batch / (osl * mean_tpot)
    ttft, tpot = points.at(points.ttft_s, batch) * ratio, points.at(points.tpot_s, batch) * ratio
    busy = np.minimum(batch, 1.0)
    typical = _typical_step(model, device, deployment, lengths, engine, draft, points, batch)
    peak = peak_flop_per_s(device, effective_compute_dtype(device, deployment.compute_dtype))
    # Of a request, per device: FLOP are linear in the batch.
    work = typical.flop / (_typical_batch(batch) * draft.accepted_tokens_per_step) * osl
    mfu = rate * work / (peak * np.maximum(busy, 1e-300))
    per_request = np.divide(deployment.num_devices, rate, out=np.full_like(rate, math.inf), where=rate > 0)
    return Capacity(
        request_rate_per_s=rate,
        batch=batch,
        kv_batch_count=limits["KV memory"],
        engine_batch_count=limits["engine"],
        tpot_batch_count=limits["TPOT objective"],
        ttft_batch_count=limits["TTFT objective"],
        ttft_s=ttft,
        tpot_s=tpot,
        mean_ttft_s=points.at(points.mean_ttft_s, batch) * ratio,
        mean_tpot_s=mean_tpot,
        mean_osl_tokens=osl,
        e2e_s=ttft + osl * tpot,
        output_tokens_per_s=rate * osl,
        device_s_per_request=per_request,
        it_energy_j_per_request=per_request * power_w(served(device), busy, mfu_ratio=mfu),
        busy_ratio=busy,
        mfu_ratio=mfu,
        prefill_time_ratio=points.at(points.prefill_time_ratio, batch),
        memory=held,
        step=typical,
        limited_by=tightest,
        num_devices=deployment.num_devices,
    )


def _typical_step(
    model: arch.Model,
    device: Device,
    deployment: Deployment,
    lengths: Lengths,
    engine: Engine,
    draft: Speculation,
    points: Points,
    batch: Curve,
) -> Step:
    """Return the step at the median batch with its mean share of prompt tokens, for the explanation."""
    middle = _typical_batch(batch)
    return step(
        model,
        device,
        deployment,
        decode_sequences=middle,
        context_tokens=points.mean_context_tokens,
        prefill_tokens=middle * draft.accepted_tokens_per_step * points.mean_prefill_tokens / lengths.mean_osl_tokens,
        prompt_tokens=points.mean_prefill_tokens,
        decode_tokens=1.0 + draft.tokens,
        engine=engine,
    )


def _typical_batch(batch: Curve) -> float:
    return max(float(np.median(batch)), 1.0)
