"""Answers a question about a serving fleet: resolves the names, simulates, draws, prices."""

from __future__ import annotations

import dataclasses
import math
import time
from typing import Any

import numpy as np
import numpy.typing as npt

from steelyard import catalog, economics, inference
from steelyard.compare.cited import single
from steelyard.compare.rent import rental_of
from steelyard.compare.serving.energy import energy_of
from steelyard.compare.serving.traffic_case import Case, case_of
from steelyard.compare.serving.traffic_question import (
    DRAW_REQUESTS,
    Miss,
    TrafficAnswer,
    TrafficQuestion,
)  # fmt: skip
from steelyard.errors import UnknownError
from steelyard.inference import simulator
from steelyard.inference.lengths import normal_score
from steelyard.inference.simulator import Fleet, ServingResult
from steelyard.records.estimate import Estimate, estimate
from steelyard.records.sweep import swept
from steelyard.records.term import explain
from steelyard.records.workload import Objective

_LEVELS = (50.0, 90.0, 95.0, 99.0)
_BEHIND_RATIO = 0.02  # of what comes
_MEGA = 1e6


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
    case = case_of(question)
    simulator.prepare()
    begun = time.perf_counter()
    run = simulator.simulate(
        case.fleet,
        case.load,
        objective=question.objective,
        seed=question.seed,
        warm_up_requests=_warm_up(case),
        keep_timeline=True,
        sink=sink,
    )
    elapsed_s = time.perf_counter() - begun
    ranges, overloaded = _ranges(case)
    rent, warnings = _rent(case)
    pue = economics.pue("hyperscaler")
    return TrafficAnswer(
        title=case.title,
        load_label=case.load.label,
        served_by=question,
        run=run,
        elapsed_s=elapsed_s,
        ranges=ranges,
        drawn_requests=_drawn_requests(case) if ranges else 0,
        overloaded_probability=overloaded,
        rent=rent,
        usd={} if rent is None else _price(case, run, rent),
        energy=energy_of(run, pue.value),
        kv_transfer_s=case.fleet.transfer_s_per_token * case.load.lengths.mean_isl_tokens,
        objective=question.objective,
        misses=_misses(run, question.objective),
        inputs=_inputs(case),
        breakdown={"step": explain(_typical_step(case, run))},
        sources=tuple(dict.fromkeys([*_sources(case), pue.source, *(rent.sources if rent else ())])),
        warnings=(*case.model.warnings, *inference.engine_notes(case.engine), *_alike(case), *warnings),
    )


def _alike(case: Case) -> tuple[str, ...]:
    """Return what is to be known of users in a closed loop whose requests are all of one length."""
    lengths, batching = case.load.lengths, case.fleet.replica.batching
    varied = np.ptp(lengths.isl_tokens) > 0 or np.ptp(lengths.osl_tokens) > 0
    if not case.load.closed or case.load.concurrency == 1 or varied or not batching.mixed:
        return ()
    return (
        "all requests are of one length, so that users stay in step here and their prompts come in bunches; measured "
        "servers keep them so for a part only, with a shorter TTFT: give a preset or a trace for lengths that vary, or "
        "see `steelyard predict serve`",
    )


def _ranges(case: Case) -> tuple[dict[str, Estimate], float]:
    """Return each percentile's p10, p50, p90, and the share of draws in which requests come faster than they go."""
    question = case.question
    if question.draws < 1:
        return {}, math.nan
    sigma = inference.time_residual_sigma(case.model, case.device, case.engine.kernels)
    ratios = time_ratios(sigma, question.draws)
    count = _drawn_requests(case)
    load = dataclasses.replace(case.load, num_requests=count)

    def drawn(ratio: float) -> ServingResult:
        return simulator.simulate(
            _slower(case.fleet, float(ratio)),
            load,
            objective=question.objective,
            seed=question.seed,
            warm_up_requests=_warm_up(case, DRAW_REQUESTS),
            keep_timeline=True,
        )

    runs = swept(drawn, ratios)
    values: dict[str, list[float]] = {}
    for run in runs:
        for name, value in _figures(run).items():
            values.setdefault(name, []).append(value)
    return {name: estimate(drawn_values) for name, drawn_values in values.items()}, float(
        np.mean([overloaded(run, load.request_rate_per_s) for run in runs])
    )


def _warm_up(case: Case, most: int | None = None) -> int:
    count = int(case.question.warm_up_ratio * case.load.num_requests)
    return count if most is None else min(count, most)


def _drawn_requests(case: Case) -> int:
    return min(case.load.num_requests, _warm_up(case, DRAW_REQUESTS) + DRAW_REQUESTS)


def time_ratios(log_sigma: float, count: int) -> npt.NDArray[np.float64]:
    """Return true over predicted step times [count], evenly spread over their log-normal distribution."""
    return np.exp(log_sigma * normal_score((np.arange(count) + 0.5) / count))


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


def overloaded(run: ServingResult, request_rate_per_s: float) -> bool:
    """Tell whether those who wait grow in the second half of the time by more of what comes than chance leaves.

    Who waits is in no batch. A run without a rate or without a timeline is not told about.
    """
    if not request_rate_per_s or run.timeline is None:
        return False
    seen, count = run.timeline, run.num_requests + run.num_rejected
    come_s, waiting = count / request_rate_per_s, seen.in_system_requests - seen.in_batch_requests
    half, end = (
        waiting[max(0, int(np.searchsorted(seen.edges_s, moment)) - 2)]
        for moment in (0.5 * come_s, min(come_s, float(seen.edges_s[-1])))
    )
    return bool(end - half > _BEHIND_RATIO * 0.5 * count)


def _rent(case: Case) -> tuple[economics.RentalPrice | None, tuple[str, ...]]:
    """Return what a device costs; None, with the reason, where that is not known."""
    asked = case.question
    try:
        return rental_of(case.device, asked.pricing, usd_per_device_s=asked.usd_per_device_s, as_of=asked.as_of), ()
    except UnknownError as error:
        return None, (str(error),)


def _price(case: Case, run: ServingResult, rent: economics.RentalPrice) -> dict[str, Estimate]:
    """Return the cost of the run's paid device time [USD] per request, per million tokens and per hour."""
    providers = rent.provider_usd_per_device_s * run.device_s
    tokens = run.num_requests * float(case.load.lengths.mean_osl_tokens)
    if run.num_counted:
        tokens = run.num_requests * run.output_tokens_per_s / run.request_rate_per_s
    return {
        "usd_per_request": estimate(providers / run.num_requests),
        "usd_per_output_mtoken": estimate(providers / tokens * _MEGA),
        "usd_per_hour": estimate(providers / run.duration_s * 3600.0),
    }


def _inputs(case: Case) -> dict[str, Any]:
    question = case.question
    told = {"num_requests": case.load.num_requests, "as_of": question.as_of and question.as_of.isoformat()}
    return dataclasses.asdict(question) | told


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


def _typical_step(case: Case, run: ServingResult) -> inference.Step:
    lengths = case.load.lengths
    context = float(((lengths.isl_tokens + lengths.osl_tokens / 2) * lengths.osl_tokens).sum())
    return inference.step(
        case.model,
        case.device,
        case.decode,
        decode_sequences=max(run.mean_batch_requests, 1.0),
        context_tokens=context / float(lengths.osl_tokens.sum()),
        decode_tokens=1.0 + case.question.speculation.tokens,
        engine=case.engine,
    )


def _sources(case: Case) -> list[str]:
    figures = [] if case.workload is None else list(case.workload.figures.values())
    figures += list(catalog.calibration("inference").values())
    return single(figure.source for figure in figures)
