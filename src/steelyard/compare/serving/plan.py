"""Searches serving deployments: closed-form bounds choose what is simulated, the simulator decides with percentiles."""

from __future__ import annotations

import dataclasses
import math
import time
from collections import Counter
from collections.abc import Mapping
from functools import partial

import numpy as np

from steelyard import device, economics, inference
from steelyard.compare.rent import rental_of
from steelyard.compare.serving.plan_account import MISSED, NOT_SIMULATED, TOO_MANY, DeviceAccount, account, missed_by
from steelyard.compare.serving.plan_candidates import best_of_each, candidates, groups
from steelyard.compare.serving.plan_points import close_in, ranges_at, simulated_point, within
from steelyard.compare.serving.plan_result import (
    Candidate,
    PlanOption,
    PlanPoint,
    Replay,
    ServingPlan,
    ServingPlanQuestion,
)
from steelyard.compare.serving.plan_search import Search, opened
from steelyard.errors import DoesNotFitError, UnknownError
from steelyard.records.estimate import estimate
from steelyard.records.sweep import swept

_SIMULATED = 8  # candidates, the best by their bound; as many groups of separate workers
_APART_RATIO = 0.03  # points of the front differ by so much
_GROWTHS = 12  # times that a fleet is enlarged until it keeps the objective under a trace
_TOLD = 3  # devices of which an error tells
_MEGA = 1e6
_HOUR = 3600.0


def plan_serving(question: ServingPlanQuestion) -> ServingPlan:
    """Return the deployments that serve a demand within an objective, cheapest first.

    Every way of cutting the model over up to `max_devices` devices is bounded in closed form, and so are groups of
    separate prefill and decode workers with layouts and a ratio of their own; the best are simulated at rates that
    close in on the largest one within the objective. Under a trace, the fleet is sized for the trace's peak, and the
    cheapest one grows until it keeps the objective over the trace itself.

    Raises:
        DoesNotFitError: Nothing fits, or nothing keeps the objective even idle; the message says by how much.
        InputError: Fields that cannot be, or a trace that cannot be read.
        UnknownError: A name that the catalogue does not hold.
    """
    begun = time.perf_counter()
    search = opened(question)
    whole = candidates(search)
    if not whole:
        raise DoesNotFitError(_nowhere(search))
    best = best_of_each(whole, _SIMULATED)
    for candidate in (one for one in whole if one not in best):
        search.lose(candidate, NOT_SIMULATED, f"at most {candidate.bound_request_per_s:.3g} requests/s")
    apart = groups(search, whole, _SIMULATED) if question.separate else []
    tried = [*best, *apart]
    points = swept(partial(close_in, search), tried)
    rents, unpriced = _rents(question, tried)
    engine = question.engine_on(search.on(question.devices[0]))
    options, replays = _under_trace(search, _options(search, tried, points, rents), rents)
    loaded = 0 if search.request_rate_per_s is None else len(options)
    if loaded:
        options = swept(partial(_under_demand, search), options)
    cheapest = options[0]
    ranges, met = ranges_at(search, cheapest)
    lengths = search.demand.lengths
    return ServingPlan(
        question=question,
        load_label=lengths.label or question.load,
        request_rate_per_s=search.request_rate_per_s,
        peak_to_mean_ratio=search.peak_to_mean_ratio,
        options=tuple(options),
        fastest=min(options, key=_shortest_s),
        least_energy=min(options, key=lambda one: one.energy.it_j),
        front=_front(options),
        why=tuple(_why(option, cheapest) for option in options[1:4]),
        ranges=ranges,
        met_probability=met,
        rents=tuple(rents.values()),
        replay=replays[-1] if replays else None,
        kv_transfer_s=cheapest.candidate.transfer_s_per_token * lengths.mean_isl_tokens,
        devices=tuple(_accounts(search, options, unpriced)),
        longest_tokens=float(np.max(lengths.isl_tokens + lengths.osl_tokens)),
        num_candidates=len(whole) + len(apart),
        num_simulations=sum(map(len, points)) + max(question.draws, 0) + len(replays) + loaded,
        elapsed_s=time.perf_counter() - begun,
        sources=tuple(dict.fromkeys(source for price in rents.values() for source in price.sources)),
        warnings=(*search.model.warnings, *inference.engine_notes(engine), *unpriced.values()),
    )


def _options(
    search: Search,
    tried: list[Candidate],
    simulated: list[tuple[PlanPoint, ...]],
    rents: Mapping[str, economics.RentalPrice],
) -> list[PlanOption]:
    """Return the options within the objective and the devices allowed, cheapest first.

    Raises:
        DoesNotFitError: There is none; the message says by how much the nearest one misses.
    """
    options, missed = [], []
    for candidate, points in zip(tried, simulated, strict=True):
        within = [point for point in points if point.meets]
        if within:
            at = max(within, key=lambda point: point.request_rate_per_s)
            options.append(_option(search, candidate, at, points, rents.get(candidate.device_id)))
            continue
        times, told = missed_by(search.question.objective, ttft_s=points[0].ttft_s, tpot_s=points[0].tpot_s)
        search.lose(candidate, MISSED, told, times)
        missed.append((times, f"{candidate.name}: {told}"))
    if not options:
        raise DoesNotFitError(f"no deployment keeps the objective even at little load; nearest, {min(missed)[1]}")
    return _usable(search, options)


def _usable(search: Search, options: list[PlanOption]) -> list[PlanOption]:
    """Return the options that need no more devices than are allowed, cheapest first.

    Raises:
        DoesNotFitError: All need more.
    """
    usable = [option for option in options if option.usable]
    for option in (one for one in options if not one.usable):
        told = f"{option.num_devices:,} devices, {search.question.max_devices:,} are allowed"
        search.lose(option.candidate, TOO_MANY, told, option.num_devices / search.question.max_devices)
    if not usable:
        nearest = min(options, key=lambda one: one.num_devices)
        raise DoesNotFitError(
            f"{search.request_rate_per_s:.4g} requests/s need {nearest.num_devices:,} devices at least "
            f"({nearest.candidate.name}); {search.question.max_devices:,} are allowed"
        )
    unpriced = math.inf
    return sorted(
        usable,
        key=lambda one: (
            one.usd_per_output_mtoken.p50 if one.usd_per_output_mtoken else unpriced,
            one.num_devices,
            -one.at.request_rate_per_s,
        ),
    )


def _rents(
    question: ServingPlanQuestion, tried: list[Candidate]
) -> tuple[dict[str, economics.RentalPrice], dict[str, str]]:
    """Return what each device costs, as the user states it or of the catalogue, and why others have no price."""
    own = {device.load(ref).id: price for ref, price in question.usd_per_device_s.items()}
    rents, unpriced = {}, {}
    for device_id in dict.fromkeys(candidate.device_id for candidate in tried):
        try:
            rents[device_id] = rental_of(
                device.load(device_id),
                question.pricing,
                usd_per_device_s=own.get(device_id),
                as_of=question.as_of,
            )
        except UnknownError as error:
            unpriced[device_id] = str(error)
    return rents, unpriced


def _option(
    search: Search,
    candidate: Candidate,
    at: PlanPoint,
    points: tuple[PlanPoint, ...],
    price: economics.RentalPrice | None,
) -> PlanOption:
    most = search.question.max_devices // candidate.num_devices
    asked = search.request_rate_per_s
    units = most if asked is None else math.ceil(asked / at.request_rate_per_s)
    option = PlanOption(
        candidate=candidate,
        at=at,
        points=points,
        units=units,
        energy=at.energy,
        usd_per_device_s=None if price is None else price.usd_per_device_s,
        usd_per_hour=None,
        usd_per_output_mtoken=None,
        usd_per_output_mtoken_at_mean=None,
        usable=1 <= units <= most,
    )
    return _priced(search, option, price)


def _under_demand(search: Search, option: PlanOption) -> PlanOption:
    """Return an option with the energy that a token takes under its part of the demand."""
    assert search.request_rate_per_s is not None
    most = option.at.request_rate_per_s
    share = min(search.request_rate_per_s / option.units, most)
    return dataclasses.replace(option, energy=simulated_point(search, option.candidate, share, answered=most).energy)


def _priced(search: Search, option: PlanOption, price: economics.RentalPrice | None) -> PlanOption:
    """Return an option with what its devices cost, by the hour and by the token at peak and mean load."""
    asked = search.request_rate_per_s
    if price is None or not option.units:
        return option
    demand = option.at.request_rate_per_s * option.units if asked is None else asked
    usd_per_s = price.provider_usd_per_device_s * option.num_devices
    tokens_per_s = demand * search.demand.lengths.mean_osl_tokens
    return dataclasses.replace(
        option,
        usd_per_hour=estimate(usd_per_s * _HOUR),
        usd_per_output_mtoken=estimate(usd_per_s / tokens_per_s * _MEGA),
        usd_per_output_mtoken_at_mean=estimate(usd_per_s / tokens_per_s * search.peak_to_mean_ratio * _MEGA),
    )


def _under_trace(
    search: Search, options: list[PlanOption], rents: Mapping[str, economics.RentalPrice]
) -> tuple[list[PlanOption], list[Replay]]:
    """Return the options, of which the cheapest keeps the objective under the trace itself, and all replays of that.

    It grows until it does; the last replay is its own.

    Raises:
        DoesNotFitError: No option does with the devices allowed, or with several times those that its peak needs.
    """
    if search.demand.trace is None or search.request_rate_per_s is None:
        return options, []
    replays: list[Replay] = []
    for _ in range(_GROWTHS):
        cheapest = options[0]
        replays.append(_replay(search, cheapest))
        if replays[-1].meets:
            return options, replays
        units = cheapest.units + max(1, cheapest.units // 10)
        most = search.question.max_devices // cheapest.candidate.num_devices
        larger = dataclasses.replace(cheapest, units=units, usable=units <= most)
        options = _usable(search, [_priced(search, larger, rents.get(cheapest.candidate.device_id)), *options[1:]])
    raise DoesNotFitError(
        f"under the trace itself {cheapest.num_devices} devices do not keep the objective either "
        f"({cheapest.candidate.name}): {replays[-1].slo_attainment_ratio:.0%} of its requests are within; loosen it"
    )


def _replay(search: Search, option: PlanOption) -> Replay:
    assert search.request_rate_per_s is not None
    run, objective = (
        search.replayed(option.candidate, option.units, search.request_rate_per_s),
        search.question.objective,
    )
    return Replay(
        num_requests=run.num_requests,
        ttft_s=run.ttft.percentile_s(objective.ttft_percentile),
        tpot_s=run.tpot.percentile_s(objective.tpot_percentile),
        slo_attainment_ratio=run.slo_attainment_ratio,
        prefix_hit_ratio=run.prefix_hit_ratio,
        meets=within(run, objective),
    )


def _accounts(search: Search, options: list[PlanOption], unpriced: Mapping[str, str]) -> list[DeviceAccount]:
    """Return what came of each device asked about."""
    answers = Counter(option.candidate.device_id for option in options)
    asked = dict.fromkeys(search.on(name).id for name in search.question.devices)
    return [account(one, search.losses, num_answers=answers[one], unpriced=unpriced) for one in asked]


def _nowhere(search: Search) -> str:
    """Return why no device holds the model, told of the first few."""
    told = [f"{one.device_id} {one.against[0].nearest}" for one in _accounts(search, [], {})]
    more = f"; and so on for {len(told) - _TOLD} more" if len(told) > _TOLD else ""
    return (
        f"{search.question.model} fits nowhere: {'; '.join(told[:_TOLD])}{more}; allow more devices (--devices), "
        "narrower weights (--dtype) or a device with more memory (--on)"
    )


def _shortest_s(option: PlanOption) -> float:
    """Return the least TPOT within the objective; the least TTFT where answers of one token have no TPOT."""
    return min(point.ttft_s if math.isnan(point.tpot_s) else point.tpot_s for point in option.points if point.meets)


def _front(options: list[PlanOption]) -> tuple[tuple[str, PlanPoint], ...]:
    """Return the points that no other beats for the user and for the device at once, fastest for the user first."""
    points = [(option.candidate.name, point) for option in options for point in option.points if point.meets]
    points.sort(key=lambda pair: (-pair[1].tokens_per_s_per_user, -pair[1].tokens_per_s_per_device))
    front: list[tuple[str, PlanPoint]] = []
    for name, point in points:
        if not front or point.tokens_per_s_per_device > front[-1][1].tokens_per_s_per_device * (1.0 + _APART_RATIO):
            front.append((name, point))
    return tuple(front)


def _why(option: PlanOption, cheapest: PlanOption) -> str:
    """Return why an option lost to the cheapest."""
    mine, theirs = (one.at.request_rate_per_s / one.candidate.num_devices * _HOUR for one in (option, cheapest))
    told = f"{option.candidate.name}: a device answers {mine:,.0f} requests an hour within the objective"
    told += f", {mine / theirs:.0%} of the winner's {theirs:,.0f}"
    if option.num_devices != cheapest.num_devices:
        told += f"; {option.num_devices:,} devices in place of {cheapest.num_devices:,}"
    if option.usd_per_output_mtoken and cheapest.usd_per_output_mtoken:
        ratio = option.usd_per_output_mtoken.p50 / cheapest.usd_per_output_mtoken.p50
        told += f"; {ratio:.2f} times the cost of a token"
    return told
