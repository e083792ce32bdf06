"""One deployment under one load: latency, throughput and power in the mean, with everything behind them."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from steelyard import arch
from steelyard.device import Device, device_power_w, effective_compute_dtype, host_power_w, peak_flop_per_s
from steelyard.errors import InputError
from steelyard.inference.deployment import Deployment
from steelyard.inference.engine import Engine, engine_for, outside_s, served, ttft_sigmas
from steelyard.inference.loads import NUM_STEPS, Load, Queries, Vector, queries
from steelyard.inference.memory import ServingMemory, memory, require_fit
from steelyard.inference.replay import Replay, flop_rate, replay, ttft_residual_sigma
from steelyard.inference.speculation import Speculation
from steelyard.inference.step import Step, step
from steelyard.records.term import term
from steelyard.records.workload import Lengths
from steelyard.units import Array

REQUESTS_PER_USER = 10.0
_WITHOUT_PROMPTS = [0, 0, 2, 0]  # of the steps of `queries`, which is the same without its prompts


@dataclass(frozen=True, slots=True, kw_only=True)
class UnderLoad:
    """What a load meets, means over requests; fields have the shape of `time_ratio`."""

    ttft_s: Array = term(
        "TTFT", "s", "request_overhead_s + admission_s + own_prompt_s + ahead_s + place_s",
        parts=("request_overhead_s", "admission_s", "own_prompt_s", "ahead_s", "place_s"),
    )  # fmt: skip
    request_overhead_s: Array = term(
        "outside of steps", "s", "receiving, tokenising and queueing it", source="calibration/inference.toml"
    )
    admission_s: Array = term("until the engine looks for it", "s", "rest of the running step + steps without a look")
    own_prompt_s: Array = term(
        "own prompt", "s", "steps of the prompt * step with it; of a static batch, all its prompts", parts=("own_step",)
    )
    ahead_s: Array = term("prompts ahead", "s", "those that came before, one after the other")
    place_s: Array = term("wait for a place", "s", "where more are there than run at once")
    ttft_log_sd_ratio: Array = term(
        "spread of the TTFT beside that of its steps", "",
        "sqrt((overhead share * overhead_residual_sigma)^2 + (waiting share * waiting_residual_sigma)^2)",
    )  # fmt: skip
    tpot_s: Array = term("TPOT", "s", "token_step_s + others_s", parts=("token_step_s", "others_s"))
    token_step_s: Array = term(
        "decoding a token", "s", "(decode step + time of the draft) / tokens that it yields", parts=("decode_step",)
    )
    others_s: Array = term("prompts of others", "s", "what theirs add to the steps of an answer, by token of it")
    e2e_s: Array = term("end to end", "s", "ttft_s + (OSL - 1) * tpot_s", parts=("ttft_s", "tpot_s"))
    output_tokens_per_s: Array = term(
        "output throughput", "token_per_s", "batch * OSL / (OSL * decode step + batch * prompt)", parts=("batch",)
    )
    request_rate_per_s: Array = term("requests answered", "request_per_s", "output_tokens_per_s / OSL")
    output_tokens_per_s_per_device: Array = term("output throughput of a device", "token_per_s", "")
    batch: Array = term("sequences decoding, mean", "", "smallest of users, KV places and the engine's limit")
    places_count: Array = term("sequences that can run at once", "", "KV pool, engine", parts=("memory",))
    prompt_time_ratio: Array = term("share of the time that prompts add", "ratio")
    device_power_w: Array = term(
        "power of the devices", "w", "devices * (idle + (TDP - idle) * busy * (active + compute * MFU))"
    )
    host_power_w: Array = term("power of their share of the hosts", "w", "devices * TDP * host_power_ratio")
    device_j_per_output_token: Array = term(
        "energy of the devices per output token", "j_per_token", "device_power_w / output_tokens_per_s",
        parts=("device_power_w",),
    )  # fmt: skip
    mfu_ratio: Array = term("FLOP utilisation", "ratio", "FLOP of steps / (their time * printed peak)")
    memory: ServingMemory
    decode_step: Step
    prompt_step: Step
    own_step: Step  # with one prompt
    num_devices: int


def under_load(
    model: arch.Model,
    device: Device,
    deployment: Deployment,
    *,
    isl_tokens: float,
    osl_tokens: float,
    users: float | None = None,
    request_rate_per_s: float | None = None,
    cached_input_ratio: float = 0.0,
    length_spread_ratio: float = 0.2,
    speculation: Speculation | None = None,
    engine: Engine | None = None,
    time_ratio: Array = 1.0,
) -> UnderLoad:
    """Return what one replica gives under one load, in the mean.

    Args:
        model, device, deployment: The replica.
        isl_tokens, osl_tokens: Of a request, mean.
        users: Who each send again when answered (a closed loop); the largest batch that fits when neither is given.
        request_rate_per_s: Of an open loop, instead of users.
        cached_input_ratio: Share of prompt tokens served from a prefix cache.
        length_spread_ratio: Of lengths around their means; 0 for requests that are all alike.
        speculation: A draft, if there is one.
        engine: Its rules; the defaults for the device when None.
        time_ratio: True over predicted step time, any shape.

    Raises:
        DoesNotFitError: The weights and one sequence do not fit.
        InputError: Both users and a rate, a rate for an engine of static batches, or a length below one token.

    Assumes:
        Percentiles are not here: they need the scheduler event by event.

    Example:
        >>> from steelyard import arch, device
        >>> few, many = (under_load(arch.load("llama-3.1-8b"), device.load("h100"), Deployment(), isl_tokens=1000,
        ...              osl_tokens=200, users=users) for users in (1, 64))
        >>> bool(few.tpot_s < many.tpot_s), bool(few.output_tokens_per_s < many.output_tokens_per_s)
        (True, True)
    """
    engine = engine or engine_for(device)
    _require_load(isl_tokens, osl_tokens, users, request_rate_per_s, engine)
    draft = speculation or Speculation()
    lengths = Lengths(isl_tokens=np.array([float(isl_tokens)]), osl_tokens=np.array([float(osl_tokens)]))
    held = memory(model, device, deployment, lengths, engine=engine)
    require_fit(model, device, deployment, held)
    places = float(np.minimum(held.max_sequences, np.asarray(engine.max_sequences) * deployment.dp))
    load = _load(
        places, isl_tokens * (1.0 - cached_input_ratio), isl_tokens * cached_input_ratio, osl_tokens, users,
        request_rate_per_s, length_spread_ratio, deployment, engine, draft,
    )  # fmt: skip
    ratio = np.atleast_1d(np.asarray(time_ratio, dtype=np.float64))
    before_s = outside_s(engine, isl_tokens)

    def met(load: Load) -> _Met:
        return _met(model, device, deployment, load, engine, draft, ratio, before_s)

    found = met(load)
    busy = found if request_rate_per_s is None else met(_busy(load, found.replay.batch))
    return _answer(device, deployment, found, busy, held, places, osl_tokens, before_s, np.shape(time_ratio))


def _require_load(
    isl_tokens: float, osl_tokens: float, users: float | None, request_rate_per_s: float | None, engine: Engine
) -> None:
    if users is not None and request_rate_per_s is not None:
        raise InputError("a load is either users (a closed loop) or a request rate, not both")
    if not (isl_tokens >= 1 and osl_tokens >= 1):
        raise InputError(f"lengths: {isl_tokens:g} in and {osl_tokens:g} out; both count from 1 token on")
    if request_rate_per_s is not None and engine.is_static:
        raise InputError(
            f"request rate: {engine.name} runs batches that start and end together, whose mean under a stream is not "
            "told here; give users (--concurrency), or see `steelyard simulate serve`"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Met:
    """What a load meets: its steps [4], their times [4, R], and what they make of it [R]."""

    steps: Step
    times: Vector
    replay: Replay


def _met(
    model: arch.Model, device: Device, deployment: Deployment, load: Load, engine: Engine, draft: Speculation,
    ratio: Vector, before_s: Array,
) -> _Met:  # fmt: skip
    asked = queries(load)
    steps = _steps(model, device, deployment, asked, engine, draft)
    whole_s = np.asarray(steps.total_s)[:, None]
    plain_s = np.where(asked.decode_sequences > 0, np.minimum(whole_s, whole_s[_WITHOUT_PROMPTS]), 0.0)
    drafted_s = draft.step_s(whole_s, plain_s)
    times = drafted_s * ratio.reshape(1, -1)
    found = replay(load, asked, times, request_overhead_s=before_s, admission_steps=engine.admission_steps)
    return _Met(steps=steps, times=times, replay=found)


def _answer(
    device: Device, deployment: Deployment, met: _Met, busy: _Met, held: ServingMemory, places: float,
    osl_tokens: float, before_s: Array, shape: tuple[int, ...],
) -> UnderLoad:  # fmt: skip
    """Return what a load meets, in `shape`; steps, FLOP and power are those of while somebody is there (`busy`)."""
    found, steps = met.replay, busy.steps
    peak = peak_flop_per_s(device, effective_compute_dtype(device, deployment.compute_dtype))
    mfu = flop_rate(np.asarray(steps.flop), busy.times, busy.replay.prompt_time_ratio) / peak
    card, count = device.accelerator, deployment.num_devices
    power = count * device_power_w(card.tdp_w, card.idle_w, served(device).efficiency, found.busy_ratio, mfu_ratio=mfu)

    def shaped(values: Array) -> Array:
        return np.broadcast_to(values, busy.times.shape[1]).reshape(shape)

    return UnderLoad(
        ttft_s=shaped(found.ttft_s),
        ttft_log_sd_ratio=shaped(ttft_residual_sigma(found, before_s, *ttft_sigmas())),
        request_overhead_s=shaped(before_s),
        admission_s=shaped(found.looked_s),
        own_prompt_s=shaped(found.own_s),
        ahead_s=shaped(found.ahead_s),
        place_s=shaped(found.place_s),
        tpot_s=shaped(found.tpot_s),
        token_step_s=shaped(found.token_step_s),
        others_s=shaped(np.maximum(found.tpot_s - found.token_step_s, 0.0)),
        e2e_s=shaped(found.e2e_s),
        output_tokens_per_s=shaped(found.output_tokens_per_s),
        request_rate_per_s=shaped(found.output_tokens_per_s / osl_tokens),
        output_tokens_per_s_per_device=shaped(found.output_tokens_per_s / count),
        batch=shaped(found.batch),
        places_count=shaped(places),
        prompt_time_ratio=shaped(found.prompt_time_ratio),
        device_power_w=shaped(power),
        host_power_w=shaped(count * host_power_w(device)),
        device_j_per_output_token=shaped(power / np.maximum(found.output_tokens_per_s, 1e-12)),
        mfu_ratio=shaped(mfu),
        memory=held,
        decode_step=_one(steps, 0),
        prompt_step=_one(steps, 1),
        own_step=_one(steps, 3),
        num_devices=count,
    )


def _load(
    places: float, isl: float, cached: float, osl: float, users: float | None, rate: float | None, spread: float,
    deployment: Deployment, engine: Engine, draft: Speculation,
) -> Load:  # fmt: skip
    def one(value: Array) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
        return np.array([float(np.max(value))])

    kind = "open loop" if rate is not None else "closed loop" if users is not None else "saturated"
    if engine.is_static:
        kind = "fixed batch"
    present = users if users is not None else 0.0 if rate is not None else places
    return Load(
        kind=np.array([kind]),
        users=one(present),
        request_rate_per_s=one(rate or 0.0),
        requests=one(1e9),  # in the long run
        isl_tokens=one(max(isl, 1.0)),
        cached_tokens=one(cached),
        osl_tokens=one(osl),
        limit=one(max(places, 1.0)),
        chunk_tokens=one(engine.chunk_tokens),
        ranks=one(deployment.dp),
        stages=one(deployment.pp),
        prompts_first=one(engine.prompts_first),
        length_spread_ratio=one(spread),
        tokens_per_step=one(draft.accepted_tokens_per_step),
        receive_steps=one(0.0),
        hold_steps=one(0.0),
    )


def _busy(load: Load, batch: Array) -> Load:
    """Return what a stream is while somebody is there: a closed loop of as many users, one at least."""
    users = np.clip(np.array([np.median(batch)]), 1.0, load.places)
    nothing = np.zeros_like(load.request_rate_per_s)
    return replace(load, kind=np.array(["closed loop"]), users=users, request_rate_per_s=nothing)


def _steps(
    model: arch.Model, device: Device, deployment: Deployment, asked: Queries, engine: Engine, draft: Speculation
) -> Step:
    """Return the steps asked for [4]."""
    return step(
        model,
        device,
        deployment,
        decode_sequences=asked.decode_sequences[:, 0],
        context_tokens=asked.context_tokens[:, 0],
        prefill_tokens=asked.prefill_tokens[:, 0],
        prompt_tokens=asked.prompt_tokens[:, 0],
        prompt_context_tokens=asked.prompt_context_tokens[:, 0],
        prompt_ranks=asked.prompt_ranks[:, 0],
        decode_tokens=1.0 + draft.tokens,
        engine=engine,
    )


def _one(steps: Step, index: int) -> Step:
    """Return one of the steps."""
    values = {name: np.broadcast_to(getattr(steps, name), (NUM_STEPS,))[index] for name in Step.__slots__}
    return Step(**values)
