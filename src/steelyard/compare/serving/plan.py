"""Searches serving deployments: closed-form bounds choose what is simulated, the simulator decides with percentiles."""

from __future__ import annotations

import dataclasses
import math
import time
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from steelyard import arch, catalog, device, economics, inference
from steelyard.compare.serving.plan_result import Candidate, PlanOption, PlanPoint, ServingPlan, ServingPlanQuestion
from steelyard.compare.serving.traffic import time_ratios
from steelyard.errors import DoesNotFitError, InputError, UnknownError
from steelyard.inference import simulator
from steelyard.inference.simulator import Fleet, Replica, ServingResult
from steelyard.records.estimate import Estimate, estimate
from steelyard.records.workload import Lengths, Objective
from steelyard.units import format_quantity

_SIMULATED = 8  # candidates, the best by their bound
_APART = ((1, 1), (1, 2), (2, 1), (1, 3), (3, 1))  # prefill and decode replicas
_REQUESTS = (1500, 20_000)  # of a simulation, at least and at most
_ANSWERS = 8.0  # mean answers that a simulation lasts
_WIDEN = 1.25
_WIDENINGS, _BISECTIONS = 12, 5
_MEGA = 1e6
_HOUR = 3600.0


@dataclass(slots=True, kw_only=True)
class _Search:
    """The question with its names resolved, and what has been made so far."""

    question: ServingPlanQuestion
    model: arch.Model
    lengths: Lengths
    peak_to_mean_ratio: float
    replicas: dict[tuple[str, inference.Deployment], Replica] = field(default_factory=dict)
    refused: list[str] = field(default_factory=list)
    simulations: int = 0


def plan_serving(question: ServingPlanQuestion) -> ServingPlan:
    """Return the deployments that serve a demand within an objective, cheapest first.

    Every way of cutting the model over up to `max_devices` devices is bounded in closed form; the best are simulated at
    rates that close in on the largest one within the objective, as are groups of separate prefill and decode replicas.

    Raises:
        DoesNotFitError: Nothing fits, or nothing keeps the objective even idle; the message says by how much.
        InputError: Fields that cannot be.
        UnknownError: A name that the catalogue does not hold.
    """
    begun = time.perf_counter()
    search = _opened(question)
    candidates = _candidates(search)
    if not candidates:
        raise DoesNotFitError(f"{question.model} fits nowhere: {'; '.join(search.refused[:2])}")
    best = sorted(candidates, key=lambda one: -one.bound_request_per_s / one.num_devices)[:_SIMULATED]
    apart = [one for whole in best[:2] for one in _groups(search, whole)] if question.separate else []
    options, sources, warnings = _options(search, [*best, *apart])
    cheapest = options[0]
    ranges, met = _ranges(search, cheapest)
    return ServingPlan(
        question=question,
        options=tuple(options),
        fastest=min(options, key=lambda one: min(point.tpot_s for point in one.points if point.meets)),
        least_energy=min(options, key=lambda one: one.at.it_energy_j_per_token),
        front=_front(options),
        why=tuple(_why(option, cheapest) for option in options[1:4]),
        ranges=ranges,
        met_probability=met,
        refused=tuple(dict.fromkeys(search.refused)),
        longest_tokens=float(np.max(search.lengths.isl_tokens + search.lengths.osl_tokens)),
        num_candidates=len(candidates) + len(apart),
        num_simulations=search.simulations,
        elapsed_s=time.perf_counter() - begun,
        sources=sources,
        warnings=warnings,
    )


def _opened(question: ServingPlanQuestion) -> _Search:
    if question.max_devices < 1:
        raise InputError(f"devices: {question.max_devices} is not a number from 1 on")
    if question.request_rate_per_s is not None and not 0 < question.request_rate_per_s < math.inf:
        raise InputError(f"request rate: {question.request_rate_per_s:g} is not a positive number")
    for name in question.devices:  # a name that is wrong is an error, not a candidate that does not fit
        inference.engine_for(device.load(name), question.engine)
    workload = catalog.workload(question.load)
    isl, osl = question.isl_tokens, question.osl_tokens
    if isl is not None and osl is not None:
        lengths = inference.lengths_from_stated({"fixed": isl}, {"fixed": osl}, num_samples=2)
    elif isl is None and osl is None:
        lengths = inference.lengths_from_workload(workload, num_samples=4096)
    else:
        raise InputError("lengths: give both --isl and --osl, or neither")
    ratio = workload.peak_to_mean_ratio if question.peak_to_mean_ratio is None else question.peak_to_mean_ratio
    if not 1 <= ratio < math.inf:
        raise InputError(f"peak to mean: {ratio:g} is below 1")
    simulator.prepare()
    return _Search(question=question, model=arch.load(question.model), lengths=lengths, peak_to_mean_ratio=ratio)


def _candidates(search: _Search) -> list[Candidate]:
    """Return every replica that fits, with its closed-form bound; what does not is noted with its reason."""
    question, found = search.question, []
    for name in question.devices:
        on = device.load(name)
        for dtype in question.weight_dtypes or (None,):
            for cut in _cuts(search.model, on, question.max_devices):
                stored = inference.deployment_for(
                    search.model, cut["tp"], weight_dtype=dtype, kv_dtype=question.kv_dtype
                )
                deployment = dataclasses.replace(stored, **cut)
                try:
                    bound = _bound(search, on, deployment)
                except (DoesNotFitError, UnknownError) as error:
                    search.refused.append(str(error))
                    continue
                found.append(Candidate(device_id=on.id, deployment=deployment, bound_request_per_s=bound))
    return found


def _cuts(model: arch.Model, on: device.Device, most: int) -> list[dict[str, Any]]:
    """Return the ways of cutting a model: tp within a scale-up domain, dp with ep for experts, pp beyond."""
    domain = max(1, on.accelerator.scale_up_devices)
    powers = [2**power for power in range(most.bit_length())]
    cuts = []
    for tp in (ways for ways in powers if ways <= min(domain, most, max(model.num_heads, 1))):
        cuts.append({"tp": tp, "ep": 1})
        if model.num_experts:
            cuts += [
                {"tp": tp, "dp": dp, "ep": tp * dp}
                for dp in powers
                if 1 < tp * dp <= min(most, domain, model.num_experts)
            ]
        cuts += [{"tp": tp, "pp": pp, "ep": 1} for pp in (2, 4) if tp * pp <= most and tp == min(domain, 8)]
    return cuts


def _bound(search: _Search, on: device.Device, deployment: inference.Deployment) -> float:
    """Return the rate of one replica within the TPOT objective in closed form [requests/s]."""
    only_tpot = dataclasses.replace(search.question.objective, ttft_s=math.inf)
    engine = inference.engine_for(on, search.question.engine)
    form = inference.steady(search.model, on, deployment, search.lengths, only_tpot, engine=engine)
    return float(np.max(form.request_rate_per_s))


def _groups(search: _Search, whole: Candidate) -> list[Candidate]:
    """Return groups of separate prefill and decode replicas of one layout."""
    if not device.load(whole.device_id).accelerator.scale_out_bytes_per_s > 0:
        return []
    return [
        dataclasses.replace(
            whole,
            prefill_replicas=prefill,
            decode_replicas=decode,
            bound_request_per_s=whole.bound_request_per_s * (prefill + decode),
        )
        for prefill, decode in _APART
        if (prefill + decode) * whole.num_devices <= search.question.max_devices
    ]


def _options(search: _Search, candidates: list[Candidate]) -> tuple[list[PlanOption], tuple[str, ...], tuple[str, ...]]:
    """Return the options within the objective and the devices allowed, cheapest first.

    Raises:
        DoesNotFitError: There is none; the message says by how much the nearest one misses.
    """
    prices, sources, warnings = _prices(search.question, candidates)
    options, missed = [], []
    for candidate in candidates:
        points = _close_in(search, candidate)
        within = [point for point in points if point.meets]
        if not within:
            missed.append((candidate, min(points, key=lambda point: point.request_rate_per_s)))
            continue
        at = max(within, key=lambda point: point.request_rate_per_s)
        options.append(_option(search, candidate, at, points, prices.get(candidate.device_id)))
    usable = [option for option in options if option.usable]
    if not options:
        raise DoesNotFitError(_missed(search.question.objective, missed))
    if not usable:
        nearest = min(options, key=lambda one: one.num_devices)
        raise DoesNotFitError(
            f"{search.question.request_rate_per_s:g} requests/s need {nearest.num_devices} devices at least "
            f"({nearest.candidate.name}); {search.question.max_devices} are allowed"
        )
    unpriced = math.inf
    usable.sort(key=lambda one: (one.usd_per_output_mtoken.p50 if one.usd_per_output_mtoken else unpriced,
                                 one.num_devices, -one.at.request_rate_per_s))  # fmt: skip
    return usable, sources, warnings


def _close_in(search: _Search, candidate: Candidate) -> tuple[PlanPoint, ...]:
    """Return simulated points around the largest rate within the objective."""
    rate, points = max(candidate.bound_request_per_s, 1e-3), []
    low = high = 0.0  # largest rate that keeps the objective, least that does not
    for _ in range(_WIDENINGS):
        points.append(_point(search, candidate, rate))
        if points[-1].meets:
            low = rate
        else:
            high = rate
        if low and high:
            break
        rate = rate * _WIDEN if points[-1].meets else rate / (_WIDEN if high == points[0].request_rate_per_s else 2.0)
    if low and high:
        for _ in range(_BISECTIONS):
            rate = math.sqrt(low * high)
            points.append(_point(search, candidate, rate))
            low, high = (rate, high) if points[-1].meets else (low, rate)
    return tuple(points)


def _point(search: _Search, candidate: Candidate, rate: float) -> PlanPoint:
    question, run = search.question, _simulated(search, candidate, rate, 1.0)
    objective = question.objective
    ttft = run.ttft.percentile_s(objective.ttft_percentile)
    tpot = run.tpot.percentile_s(objective.tpot_percentile)
    tokens = run.num_requests * float(search.lengths.mean_osl_tokens)
    return PlanPoint(
        request_rate_per_s=rate,
        ttft_s=ttft,
        tpot_s=tpot,
        tokens_per_s_per_user=1.0 / run.tpot.percentile_s(50.0),
        tokens_per_s_per_device=run.output_tokens_per_s / candidate.num_devices,
        it_energy_j_per_token=run.energy_j / tokens,
        meets=_keeps(run, objective, rate),
    )


def _keeps(run: ServingResult, objective: Objective, rate: float) -> bool:
    """Tell whether a run keeps the objective and the pace: no queue that only grows."""
    return (
        run.ttft.percentile_s(objective.ttft_percentile) <= objective.ttft_s
        and run.tpot.percentile_s(objective.tpot_percentile) <= objective.tpot_s
        and run.duration_s - run.e2e.mean_s <= 1.1 * run.num_requests / rate
    )


def _simulated(search: _Search, candidate: Candidate, rate: float, time_ratio: float) -> ServingResult:
    search.simulations += 1
    replica = _replica(search, candidate)
    if time_ratio != 1.0:
        replica = dataclasses.replace(replica, table=replica.table.scaled(time_ratio))
    fleet = Fleet(replica=replica)
    if candidate.decode_replicas:
        on = device.load(candidate.device_id)
        per_token = simulator.transfer_s_per_token(search.model, on, candidate.deployment, search.lengths)
        fleet = Fleet(
            replica=replica,
            num_replicas=candidate.prefill_replicas,
            decode=replica,
            num_decode_replicas=candidate.decode_replicas,
            transfer_s_per_token=per_token,
        )
    step_s = min(search.question.objective.tpot_s, 0.1)
    wanted = rate * _ANSWERS * search.lengths.mean_osl_tokens * step_s
    count = int(min(max(wanted, _REQUESTS[0]), _REQUESTS[1]))
    load = simulator.open_load(search.lengths, rate, count)
    return simulator.simulate(
        fleet, load, objective=search.question.objective, seed=search.question.seed, warm_up_requests=count // 5
    )


def _replica(search: _Search, candidate: Candidate) -> Replica:
    key = (candidate.device_id, candidate.deployment)
    if key not in search.replicas:
        on = device.load(candidate.device_id)
        engine = inference.engine_for(on, search.question.engine)
        search.replicas[key] = simulator.replica_for(
            search.model, on, candidate.deployment, search.lengths, engine=engine
        )
    return search.replicas[key]


def _prices(
    question: ServingPlanQuestion, candidates: list[Candidate]
) -> tuple[dict[str, economics.RentalPrice], tuple[str, ...], tuple[str, ...]]:
    prices, warnings = {}, []
    for device_id in dict.fromkeys(candidate.device_id for candidate in candidates):
        try:
            prices[device_id] = economics.rental_price(device_id, question.pricing)
        except UnknownError as error:
            warnings.append(str(error))
    sources = [source for price in prices.values() for source in price.sources]
    return prices, tuple(dict.fromkeys(sources)), tuple(warnings)


def _option(
    search: _Search,
    candidate: Candidate,
    at: PlanPoint,
    points: tuple[PlanPoint, ...],
    price: economics.RentalPrice | None,
) -> PlanOption:
    question, most = search.question, search.question.max_devices // candidate.num_devices
    demand = at.request_rate_per_s * most if question.request_rate_per_s is None else question.request_rate_per_s
    units = most if question.request_rate_per_s is None else math.ceil(demand / at.request_rate_per_s)
    hourly = peak = mean = None
    if price is not None:
        usd_per_s = price.provider_usd_per_device_s * units * candidate.num_devices
        tokens_per_s = demand * search.lengths.mean_osl_tokens
        hourly = estimate(usd_per_s * _HOUR)
        peak = estimate(usd_per_s / tokens_per_s * _MEGA)
        mean = estimate(usd_per_s / tokens_per_s * search.peak_to_mean_ratio * _MEGA)
    return PlanOption(
        candidate=candidate,
        at=at,
        points=points,
        units=units,
        usd_per_hour=hourly,
        usd_per_output_mtoken=peak,
        usd_per_output_mtoken_at_mean=mean,
        usable=1 <= units <= most,
    )


def _missed(objective: Objective, missed: list[tuple[Candidate, PlanPoint]]) -> str:
    """Return by how much the objective is missed at next to no load, by the candidate that comes nearest."""

    def over(point: PlanPoint) -> float:
        return max(point.ttft_s / objective.ttft_s, point.tpot_s / objective.tpot_s)

    candidate, point = min(missed, key=lambda pair: over(pair[1]))
    parts = [
        f"{name} p{percentile:g} is {format_quantity(reached, 's')}, {reached / limit:.3g} times the "
        f"{format_quantity(limit, 's')} asked"
        for name, percentile, reached, limit in (
            ("TTFT", objective.ttft_percentile, point.ttft_s, objective.ttft_s),
            ("TPOT", objective.tpot_percentile, point.tpot_s, objective.tpot_s),
        )
        if reached > limit
    ]
    return f"no deployment keeps the objective even at little load; nearest, {candidate.name}: {'; '.join(parts)}"


def _front(options: list[PlanOption]) -> tuple[tuple[str, PlanPoint], ...]:
    """Return the points that no other beats for the user and for the device at once, fastest for the user first."""
    points = [(option.candidate.name, point) for option in options for point in option.points if point.meets]
    points.sort(key=lambda pair: (-pair[1].tokens_per_s_per_user, -pair[1].tokens_per_s_per_device))
    front: list[tuple[str, PlanPoint]] = []
    for name, point in points:
        if not front or point.tokens_per_s_per_device > front[-1][1].tokens_per_s_per_device:
            front.append((name, point))
    return tuple(front)


def _why(option: PlanOption, cheapest: PlanOption) -> str:
    """Return why an option lost to the cheapest."""
    mine, theirs = (one.at.request_rate_per_s / one.candidate.num_devices * _HOUR for one in (option, cheapest))
    told = f"{option.candidate.name}: a device answers {mine:,.0f} requests an hour within the objective"
    told += f", {mine / theirs:.0%} of the winner's {theirs:,.0f}"
    if option.num_devices != cheapest.num_devices:
        told += f"; {option.num_devices} devices in place of {cheapest.num_devices}"
    if option.usd_per_output_mtoken and cheapest.usd_per_output_mtoken:
        ratio = option.usd_per_output_mtoken.p50 / cheapest.usd_per_output_mtoken.p50
        told += f"; {ratio:.2f} times the cost of a token"
    return told


def _ranges(search: _Search, option: PlanOption) -> tuple[dict[str, Estimate], float]:
    """Return TTFT and TPOT of the cheapest option at its rate over draws of the step-time residual."""
    count = search.question.draws
    if count < 1:
        return {}, math.nan
    rate, objective = option.at.request_rate_per_s, search.question.objective
    runs = [_simulated(search, option.candidate, rate, float(ratio)) for ratio in time_ratios(search.model, count)]
    return {
        "ttft_s": estimate([run.ttft.percentile_s(objective.ttft_percentile) for run in runs]),
        "tpot_s": estimate([run.tpot.percentile_s(objective.tpot_percentile) for run in runs]),
        "output_tokens_per_s": estimate([run.output_tokens_per_s * option.units for run in runs]),
    }, float(np.mean([_keeps(run, objective, rate) for run in runs]))
