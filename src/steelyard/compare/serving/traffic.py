"""Answers a question about a serving fleet: resolves the names, simulates, draws, prices."""

from __future__ import annotations

import dataclasses
import math
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from steelyard import arch, catalog, device, economics, inference
from steelyard.compare.serving.demand import is_trace, stated_lengths
from steelyard.compare.serving.energy import energy_of
from steelyard.compare.serving.traffic_question import (
    DEFAULT_LEVEL_RATIO,
    DRAW_REQUESTS,
    Miss,
    TrafficAnswer,
    TrafficQuestion,
)  # fmt: skip
from steelyard.errors import InputError, UnknownError
from steelyard.inference import simulator
from steelyard.inference.lengths import normal_score
from steelyard.inference.simulator import Fleet, Load, ServingResult
from steelyard.records.estimate import Estimate, estimate
from steelyard.records.serving import Autoscaling, ReplicaFailures
from steelyard.records.term import explain
from steelyard.records.workload import Lengths, Objective, Workload

DEFAULT_REQUESTS = 100_000
_SAMPLES = 16_384  # lengths of a preset
_LEVELS = (50.0, 90.0, 95.0, 99.0)
_OVERLOADED_RATIO = 1.05  # served slower than it comes, beyond what the last answers take
_MEGA = 1e6


@dataclass(frozen=True, slots=True, kw_only=True)
class _Case:
    """A question with its names resolved."""

    question: TrafficQuestion
    model: arch.Model
    device: device.Device
    deployment: inference.Deployment
    fleet: Fleet
    load: Load
    workload: Workload | None


def simulate_serving(question: TrafficQuestion, *, sink: Any = None) -> TrafficAnswer:
    """Return what a serving fleet does under a load: percentiles with ranges, rates, energy, money.

    Args:
        question: What is asked.
        sink: Takes the counted requests of the run in batches, for a file.

    Returns:
        `TrafficAnswer`; the run is that of the median prediction.

    Raises:
        DoesNotFitError: The model, or the longest request, does not fit.
        InputError: Options that exclude each other, a trace that cannot be read, a request beyond the context.
        UnknownError: A name that the catalogue does not hold.
    """
    case = _case(question)
    warm_up = int(question.warm_up_ratio * case.load.num_requests)
    simulator.prepare()
    begun = time.perf_counter()
    run = simulator.simulate(
        case.fleet,
        case.load,
        objective=question.objective,
        seed=question.seed,
        warm_up_requests=warm_up,
        keep_timeline=True,
        sink=sink,
    )
    elapsed_s = time.perf_counter() - begun
    ranges, overloaded = _ranges(case)
    usd, sources, warnings = _price(case, run)
    pue = economics.pue("hyperscaler")
    return TrafficAnswer(
        title=_title(case),
        load_label=case.load.label,
        run=run,
        elapsed_s=elapsed_s,
        ranges=ranges,
        overloaded_probability=overloaded,
        usd=usd,
        energy=energy_of(run, pue.value),
        objective=question.objective,
        misses=_misses(run, question.objective),
        inputs=dataclasses.asdict(question) | {"num_requests": case.load.num_requests},
        breakdown={"step": explain(_typical_step(case, run))},
        sources=tuple(dict.fromkeys([*_sources(case), pue.source, *sources])),
        warnings=warnings,
    )


def _case(question: TrafficQuestion) -> _Case:
    stated = [question.request_rate_per_s is not None, question.level_ratio is not None,
              question.concurrency is not None, question.all_at_once]  # fmt: skip
    if sum(stated) > 1:
        raise InputError("load: rate, load level, concurrency and all-at-once exclude each other; give one")
    model, on = arch.load(question.model), device.load(question.device)
    stored = inference.deployment_for(
        model, question.tp, weight_dtype=question.weight_dtype, kv_dtype=question.kv_dtype
    )
    deployment = dataclasses.replace(stored, pp=question.pp, dp=question.dp, ep=question.ep)
    workload = None if is_trace(question.load) else catalog.workload(question.load)
    if workload is None:
        load = simulator.trace_load(
            question.load, num_requests=question.num_requests, request_rate_per_s=question.request_rate_per_s
        )
        lengths = load.lengths
    else:
        lengths = _lengths(question, workload)
    fleet = _fleet(question, model, on, deployment, lengths)
    if workload is not None:
        load = _load(question, workload, lengths, _capacity(model, on, deployment, lengths, question))
    elif question.concurrency is not None or question.all_at_once or question.level_ratio is not None:
        raise InputError(f"load: {question.load} is a trace with its own times; only a rate can be given with it")
    return _Case(
        question=question, model=model, device=on, deployment=deployment, fleet=fleet, load=load, workload=workload
    )


def _lengths(question: TrafficQuestion, workload: Workload) -> Lengths:
    stated = stated_lengths(question.isl_tokens, question.osl_tokens)
    return stated or inference.lengths_from_workload(workload, num_samples=_SAMPLES)


def _fleet(
    question: TrafficQuestion,
    model: arch.Model,
    on: device.Device,
    deployment: inference.Deployment,
    lengths: Lengths,
) -> Fleet:
    replica = simulator.replica_for(
        model,
        on,
        deployment,
        lengths,
        engine=inference.engine_for(on, question.engine, question.engine_version),
        static=question.static,
        max_sequences=question.max_sequences,
        token_budget=question.token_budget,
    )
    apart = question.decode_replicas > 0
    cold_start_s = inference.cold_start(model, weight_dtype=deployment.weight_dtype).range_s.p50
    scaling = failures = None
    if question.replica_range is not None:
        least, most = question.replica_range
        scaling = Autoscaling(
            min_replicas=least, max_replicas=most, target_requests=question.target_requests, cold_start_s=cold_start_s
        )
    if question.mtbf_s is not None:
        failures = ReplicaFailures(mtbf_s=question.mtbf_s, repair_s=cold_start_s)
    transfer = simulator.transfer_s_per_token(model, on, deployment, lengths) if apart else 0.0
    return Fleet(
        replica=replica,
        num_replicas=question.replicas,
        routing=question.routing,
        decode=replica if apart else None,
        num_decode_replicas=question.decode_replicas,
        transfer_s_per_token=transfer,
        autoscaling=scaling,
        failures=failures,
    )


def _capacity(
    model: arch.Model,
    on: device.Device,
    deployment: inference.Deployment,
    lengths: Lengths,
    question: TrafficQuestion,
) -> float:
    """Return the closed-form capacity of the fleet [requests/s]; separate decoding replicas carry none of it alone."""
    engine = inference.engine_for(on, question.engine, question.engine_version)
    one = inference.steady(model, on, deployment, lengths, Objective(), engine=engine)
    count = question.replicas if question.replica_range is None else question.replica_range[0]
    return float(np.max(one.request_rate_per_s)) * (count + question.decode_replicas)


def _load(question: TrafficQuestion, workload: Workload, lengths: Lengths, capacity: float) -> Load:
    count = DEFAULT_REQUESTS if question.num_requests is None else question.num_requests
    if question.concurrency is not None:
        return simulator.closed_load(lengths, question.concurrency, count)
    if question.all_at_once:
        return simulator.burst_load(lengths, count)
    rate = question.request_rate_per_s
    if rate is None:
        level = DEFAULT_LEVEL_RATIO if question.level_ratio is None else question.level_ratio
        if not 0 < level < math.inf:
            raise InputError(f"load level: {level:g} is not a positive share of the capacity")
        rate = level * capacity
    cv = workload.arrival_cv_ratio if question.arrival_cv_ratio is None else question.arrival_cv_ratio
    if question.gaps not in {"gamma", "weibull"}:
        raise UnknownError(f"unknown distribution of gaps {question.gaps!r} (known: gamma, weibull)")
    if question.daily and not workload.hourly_shape_ratio:
        raise InputError(f"daily shape: the preset {workload.id} has none published; leave it out")
    return simulator.open_load(
        lengths,
        rate,
        count,
        arrival_cv_ratio=cv,
        gaps="weibull" if question.gaps == "weibull" else "gamma",
        hourly_shape_ratio=workload.hourly_shape_ratio if question.daily else (),
    )


def _ranges(case: _Case) -> tuple[dict[str, Estimate], float]:
    """Return each percentile's p10, p50, p90, and the share of draws in which requests come faster than they go."""
    question = case.question
    if question.draws < 1:
        return {}, math.nan
    ratios = time_ratios(case.model, question.draws)
    warm_up = min(int(question.warm_up_ratio * case.load.num_requests), DRAW_REQUESTS)
    count = min(case.load.num_requests, warm_up + DRAW_REQUESTS)
    load = dataclasses.replace(case.load, num_requests=count)

    def drawn(ratio: float) -> ServingResult:
        return simulator.simulate(
            _slower(case.fleet, float(ratio)),
            load,
            objective=question.objective,
            seed=question.seed,
            warm_up_requests=warm_up,
        )

    with ThreadPoolExecutor() as pool:  # the event loop holds no interpreter lock; the order stays
        runs = list(pool.map(drawn, ratios))
    values: dict[str, list[float]] = {}
    for run in runs:
        for name, value in _figures(run).items():
            values.setdefault(name, []).append(value)
    return {name: estimate(drawn_values) for name, drawn_values in values.items()}, float(
        np.mean([_overloaded(load, run) for run in runs])
    )


def time_ratios(model: arch.Model, count: int) -> npt.NDArray[np.float64]:
    """Return true over predicted step times [count], evenly spread over their log-normal distribution."""
    kind = "moe" if model.num_moe_layers else "dense"
    sigma = catalog.calibration("inference")[f"{kind}_time_residual_sigma"].value
    return np.exp(sigma * normal_score((np.arange(count) + 0.5) / count))


def _slower(fleet: Fleet, ratio: float) -> Fleet:
    replica = dataclasses.replace(fleet.replica, table=fleet.replica.table.scaled(ratio))
    decode = fleet.decode and dataclasses.replace(fleet.decode, table=fleet.decode.table.scaled(ratio))
    return dataclasses.replace(fleet, replica=replica, decode=decode)


def _figures(run: ServingResult) -> dict[str, float]:
    found = {
        f"{metric}_{name}_s": value
        for metric in simulator.METRICS
        for name, value in run.percentiles_s(metric, _LEVELS).items()
    }
    for name in ("slo_attainment_ratio", "goodput_request_per_s", "output_tokens_per_s", "busy_ratio"):
        found[name] = getattr(run, name)
    found["it_energy_j_per_request"] = run.energy_j / max(1, run.num_requests)
    return found


def _overloaded(load: Load, run: ServingResult) -> bool:
    """Tell whether answering took longer than the requests took to come, one mean answer allowed for."""
    if not load.request_rate_per_s:
        return False
    come_s = load.num_requests / load.request_rate_per_s
    return run.duration_s - run.percentiles_s("e2e")["mean"] > _OVERLOADED_RATIO * come_s


def _price(case: _Case, run: ServingResult) -> tuple[dict[str, Estimate], tuple[str, ...], tuple[str, ...]]:
    """Return the cost of the run's paid device time [USD] per request, per million tokens and per hour."""
    try:
        price = economics.rental_price(case.device.id, case.question.pricing)
    except UnknownError as error:
        return {}, (), (str(error),)
    providers = price.provider_usd_per_device_s * run.device_s
    tokens = run.num_requests * float(case.load.lengths.mean_osl_tokens)
    if run.num_counted:
        tokens = run.num_requests * run.output_tokens_per_s / run.request_rate_per_s
    return (
        {
            "usd_per_request": estimate(providers / run.num_requests),
            "usd_per_output_mtoken": estimate(providers / tokens * _MEGA),
            "usd_per_hour": estimate(providers / run.duration_s * 3600.0),
        },
        price.sources,
        (),
    )


def _misses(run: ServingResult, objective: Objective) -> tuple[Miss, ...]:
    """Return the limits that the run does not keep at their percentile."""
    asked = (
        ("TTFT", "ttft", objective.ttft_percentile, objective.ttft_s),
        ("TPOT", "tpot", objective.tpot_percentile, objective.tpot_s),
    )
    found = []
    for name, metric, percentile, limit_s in asked:
        reached_s = run.percentiles_s(metric, (percentile,))[f"p{percentile:g}"]
        if reached_s > limit_s:
            found.append(Miss(metric=f"{name} p{percentile:g}", limit_s=limit_s, reached_s=reached_s))
    return tuple(found)


def _typical_step(case: _Case, run: ServingResult) -> inference.Step:
    lengths = case.load.lengths
    context = float(((lengths.isl_tokens + lengths.osl_tokens / 2) * lengths.osl_tokens).sum())
    return inference.step(
        case.model,
        case.device,
        case.deployment,
        decode_sequences=max(run.mean_batch_requests, 1.0),
        context_tokens=context / float(lengths.osl_tokens.sum()),
        engine=inference.engine_for(case.device, case.question.engine, case.question.engine_version),
    )


def _sources(case: _Case) -> list[str]:
    figures = [] if case.workload is None else list(case.workload.figures.values())
    figures += list(catalog.calibration("inference").values())
    return [figure.source for figure in figures]


def _title(case: _Case) -> str:
    count = case.question.replicas
    if case.question.decode_replicas:
        return f"{count} prefill and {case.question.decode_replicas} decode replicas of {case.fleet.replica.name}"
    if case.fleet.autoscaling is not None:
        least, most = case.fleet.autoscaling.min_replicas, case.fleet.autoscaling.max_replicas
        return f"{least} to {most} replicas of {case.fleet.replica.name}"
    return f"{count} replica{'s' * (count > 1)} of {case.fleet.replica.name}"
