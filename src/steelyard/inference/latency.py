"""Latency of one replica at a given load: an open stream of requests, or a fixed number of waiting users."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from steelyard import arch
from steelyard.device import Device
from steelyard.inference.deployment import Deployment
from steelyard.inference.engine import engine_for, of_replica
from steelyard.inference.memory import memory, require_fit
from steelyard.inference.points import Curve, Points, operating_points, sequences_within
from steelyard.records.term import term
from steelyard.records.workload import Lengths, Objective
from steelyard.units import Array


@dataclass(frozen=True, slots=True, kw_only=True)
class Latency:
    """What requests meet at one load; infinite beyond saturation."""

    ttft_s: Array = term(
        "TTFT at the percentile", "s", "request overhead + rest of a step + queue for prefill + own prefill"
    )
    tpot_s: Array = term("TPOT at the percentile", "s", "steps of a request, prompts of others in them")
    e2e_s: Array = term(
        "end to end, answer of mean length", "s", "ttft_s + mean OSL * tpot_s", parts=("ttft_s", "tpot_s")
    )
    mean_ttft_s: Array = term("mean TTFT", "s")
    mean_tpot_s: Array = term("mean TPOT", "s")
    request_rate_per_s: Array = term("request rate", "request_per_s", "batch / (mean OSL * mean TPOT)", "Little's law")
    output_tokens_per_s: Array = term("output throughput", "token_per_s", "request rate * mean OSL")
    batch: Array = term("sequences decoding, mean", "")
    utilisation_ratio: Array = term("request rate over the rate at saturation", "ratio")


def latency_at(
    model: arch.Model,
    device: Device,
    deployment: Deployment,
    lengths: Lengths,
    request_rate_per_s: Array,
    objective: Objective | None = None,
    *,
    time_ratio: Array = 1.0,
    arrival_cv_ratio: float = 1.0,
) -> Latency:
    """Return TTFT and TPOT of one replica at an offered request rate [s].

    Args:
        model, device, deployment, lengths: As for `steady`.
        request_rate_per_s: Offered to this replica; broadcasts with `time_ratio`.
        objective: Its percentiles are used, its limits are not; p95 when None.
        time_ratio: True over predicted step time.
        arrival_cv_ratio: Coefficient of variation of the gaps between requests.

    Returns:
        `Latency`; infinite where the rate exceeds what the replica can carry.

    Raises:
        DoesNotFitError: The weights and one sequence do not fit.

    Example:
        >>> from steelyard import arch, device
        >>> from steelyard.inference import lengths_from_stated
        >>> asked = lengths_from_stated({"fixed": 1000}, {"fixed": 200})
        >>> quiet, busy = latency_at(arch.load("llama-3.1-8b"), device.load("h100"), Deployment(), asked,
        ...                          np.array([0.1, 5.0])).ttft_s
        >>> bool(0.02 < quiet < busy)
        True
    """
    points, limit = _curves(model, device, deployment, lengths, objective, arrival_cv_ratio, closed=False)
    ratio, rate = np.broadcast_arrays(np.asarray(time_ratio, dtype=np.float64), request_rate_per_s)
    # Rates of the curve fall as times grow, so the curve is read at rate * ratio.
    batch = np.interp(rate * ratio, np.append(0.0, points.request_rate_per_s), np.append(0.0, points.batch))
    largest = limit / (lengths.mean_osl_tokens * points.at(points.mean_tpot_s, limit) * ratio)
    return _latency(points, lengths, np.minimum(batch, limit), ratio, rate / largest)


def latency_of_users(
    model: arch.Model,
    device: Device,
    deployment: Deployment,
    lengths: Lengths,
    users: Array,
    objective: Objective | None = None,
    *,
    time_ratio: Array = 1.0,
) -> Latency:
    """Return TTFT and TPOT when `users` each send their next request as their last is answered (a closed loop) [s].

    users = request rate * (mean TTFT + OSL * mean TPOT); what the KV pool or the engine cannot place waits.

    Args:
        model, device, deployment, lengths: As for `steady`.
        users: Requests in the system at any time, also called concurrency; broadcasts with `time_ratio`.
        objective: Its percentiles are used; p95 when None.
        time_ratio: True over predicted step time.

    Source:
        Little, "A Proof for the Queuing Formula L = lambda W", Operations Research 9(3), 1961.

    Example:
        >>> from steelyard import arch, device
        >>> from steelyard.inference import lengths_from_stated
        >>> asked = lengths_from_stated({"fixed": 1000}, {"fixed": 200})
        >>> one = latency_of_users(arch.load("llama-3.1-8b"), device.load("h100"), Deployment(), asked, 1.0)
        >>> bool(one.batch <= 1.0)
        True
    """
    points, limit = _curves(model, device, deployment, lengths, objective, 1.0, closed=True)
    ratio, present = np.broadcast_arrays(np.asarray(time_ratio, dtype=np.float64), users)
    stay = points.mean_ttft_s + lengths.mean_osl_tokens * points.mean_tpot_s
    in_system = np.maximum.accumulate(points.request_rate_per_s * stay)
    batch = np.minimum(np.interp(present, np.append(0.0, in_system), np.append(0.0, points.batch)), limit)
    held = np.interp(batch, points.batch, in_system)
    result = _latency(points, lengths, batch, ratio, np.minimum(present / np.maximum(held, 1e-300), 1.0))
    waiting = np.maximum(present - np.maximum(held, batch), 0.0) / np.maximum(result.request_rate_per_s, 1e-300)
    ttft, mean_ttft = result.ttft_s + waiting, result.mean_ttft_s + waiting
    return Latency(
        ttft_s=ttft,
        tpot_s=result.tpot_s,
        e2e_s=result.e2e_s + waiting,
        mean_ttft_s=mean_ttft,
        mean_tpot_s=result.mean_tpot_s,
        request_rate_per_s=result.request_rate_per_s,
        output_tokens_per_s=result.output_tokens_per_s,
        batch=batch,
        utilisation_ratio=result.utilisation_ratio,
    )


def _curves(
    model: arch.Model,
    device: Device,
    deployment: Deployment,
    lengths: Lengths,
    objective: Objective | None,
    arrival_cv_ratio: float,
    *,
    closed: bool,
) -> tuple[Points, float]:
    """Return the curves of a replica and the largest mean batch that its memory and its engine can place."""
    engine = engine_for(device)
    held = memory(model, device, deployment, lengths, engine=engine)
    require_fit(model, device, deployment, held)
    engine = of_replica(engine, deployment)
    points = operating_points(
        model,
        device,
        deployment,
        lengths,
        objective or Objective(),
        engine,
        arrival_cv_ratio=arrival_cv_ratio,
        closed=closed,
    )
    kv = sequences_within(np.maximum(held.kv_pool_bytes, 0.0), float(held.sequence_bytes), 0.0, 0.0, 1.0)
    budget = engine.chunk_tokens / (1.0 + points.mean_prefill_tokens / lengths.mean_osl_tokens)
    return points, float(min(np.min(kv), np.min(engine.max_sequences), np.min(budget)))


def _latency(points: Points, lengths: Lengths, batch: Curve, ratio: Curve, utilisation: Curve) -> Latency:
    osl = lengths.mean_osl_tokens
    saturated = utilisation > 1.0
    mean_tpot = points.at(points.mean_tpot_s, batch) * ratio
    ttft, mean_ttft = (
        np.where(saturated, math.inf, points.at(curve, batch) * ratio) for curve in (points.ttft_s, points.mean_ttft_s)
    )
    tpot = points.at(points.tpot_s, batch) * ratio
    rate = batch / (osl * mean_tpot)
    return Latency(
        ttft_s=ttft,
        tpot_s=tpot,
        e2e_s=ttft + osl * tpot,
        mean_ttft_s=mean_ttft,
        mean_tpot_s=mean_tpot,
        request_rate_per_s=rate,
        output_tokens_per_s=rate * osl,
        batch=batch,
        utilisation_ratio=utilisation,
    )
