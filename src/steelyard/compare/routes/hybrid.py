"""Route `hybrid`: a base load on one's own fleet, the rest to an API; the split is chosen month by month."""

from __future__ import annotations

import dataclasses

import numpy as np

from steelyard import economics
from steelyard.compare.case import Case
from steelyard.compare.draws import Draw
from steelyard.compare.routes import energy
from steelyard.compare.routes.api import api_latency, price_of, request_energy, serving_flop, token_cost
from steelyard.compare.routes.outcome import Outcome, Unpriced, median
from steelyard.compare.routes.people import engineer_usd_per_month
from steelyard.compare.routes.serve import (
    FREE_TO_LEAVE,
    DevicePrice,
    Replica,
    device_price,
    find_replicas,
    fleet_energy_j,
    held_text,
    left_over_usd,
    misses_objective,
    own_latency,
    per_device,
    replicas_bought_together,
)
from steelyard.compare.scenario import ServeRoute
from steelyard.errors import DoesNotFitError, UnknownError
from steelyard.records.term import Term
from steelyard.units import SECONDS_PER_MONTH

SPLITS = 24  # base fleets tried, from one replica to the whole peak


def evaluate(case: Case) -> list[Outcome | Unpriced]:
    routes = case.scenario.routes
    if not routes.hybrid or not routes.serve:
        return []
    overflow = [routes.hybrid.api] if routes.hybrid.api else list(routes.api.options if routes.api else ())
    return [
        option
        for device_ref in routes.serve.devices
        for pricing in routes.serve.pricing
        for api in overflow
        for option in _options(case, routes.serve, device_ref, pricing, api)
    ]


def _options(case: Case, serve: ServeRoute, device_ref: str, pricing: str, api: str) -> list[Outcome | Unpriced]:
    model_ref = serve.model or case.scenario.model
    scores = [case.score("serve", model_ref), case.score(api, "api")]
    worst = min(
        scores,
        key=lambda score: (score.passes, score.value is not None, score.value.p50 if score.value else 0.0),
    )
    try:
        replicas = find_replicas(case, serve, model_ref, device_ref)
        rent, price = device_price(case, device_ref, pricing), price_of(case, api)
    except (DoesNotFitError, UnknownError) as error:
        name = f"{model_ref} on {device_ref}, {pricing}; overflow to {api}"
        return [Unpriced(route="hybrid", option=name, reason=str(error), score=worst)]
    return [
        dataclasses.replace(_evaluate(case, serve, replica, rent, api, price, pricing), option=option, score=worst)
        for option, replica in ((f"{one.name}, {pricing}; overflow to {api}", one) for one in replicas)
        if case.wants("hybrid", option)
    ]


def _evaluate(
    case: Case,
    serve: ServeRoute,
    replica: Replica,
    rent: DevicePrice,
    api: str,
    price: economics.ApiPrice,
    pricing: str,
) -> Outcome:
    per_replica = rent.usd_per_device_s * SECONDS_PER_MONTH * replica.deployment.num_devices
    if rent.powered_by_user:
        full = fleet_energy_j(case, replica, np.full((1, 1), replica.deployment.num_devices), np.full((1, 1), np.inf))
        per_replica = per_replica + full * energy.electricity_usd_per_j(case)
    per_request = token_cost(case, api, price, np.ones((1, case.months)))
    step = replicas_bought_together(replica, pricing)
    base = choose_base(case, replica.request_rate_per_s, per_replica, per_request, step)
    if pricing not in FREE_TO_LEAVE:
        base = np.maximum.accumulate(base, axis=1)
    over = overflow_ratio(case, base * replica.request_rate_per_s)
    devices = base * replica.deployment.num_devices
    fleet_j = fleet_energy_j(case, replica, devices, case.mean_rate_per_s * (1 - over))
    rents = devices * rent.usd_per_device_s * SECONDS_PER_MONTH
    power = fleet_j * energy.electricity_usd_per_j(case) if rent.powered_by_user else np.zeros_like(rents)
    tokens = token_cost(case, api, price, case.requests * over)
    people = serve.engineers * engineer_usd_per_month(case) * np.ones((1, case.months))
    left_over = left_over_usd(case, devices, rent, pricing)
    capital = rent.capital_usd * devices[:, :1]
    parts = {"base fleet": rents, "electricity": power, "overflow to the API": tokens, "people": people}
    hosted, own = api_latency(case), own_latency(case, replica)
    return Outcome(
        route="hybrid",
        option="",
        score=case.score("hybrid"),
        monthly_usd=sum(parts.values(), np.zeros((1, 1))),
        upfront_usd=np.zeros((1, 1)),
        devices=devices,
        serving_energy_j=fleet_j + case.requests * over * request_energy(case),
        serving_flop=serving_flop(case, case.requests, replica.model),
        first_answer_s=case.assumed("setup_api"),  # all of it overflows until the fleet stands
        latency=dataclasses.replace(
            hosted,
            ttft_s=np.maximum(hosted.ttft_s, own.ttft_s),
            tpot_s=np.maximum(hosted.tpot_s, own.tpot_s),
            e2e_s=np.maximum(hosted.e2e_s, own.e2e_s),
            note="the slower of fleet and API; " + hosted.note,
        ),
        held=lambda: f"{held_text(replica, pricing, devices, capital)}; {median(over):.0%} of answers from the API",
        people_usd=people,
        left_over_usd=left_over,
        capital_usd=capital,
        per_device=per_device(replica),
        spilled_ratio=over,
        capacity_tree=replica.tree,
        misses=misses_objective(case, replica),
        tree=lambda: _tree(parts, left_over, over, rent),
        energy_evidence="predicted",
        sources=(*rent.sources, price.input.source, price.output.source),
    )


def _tree(parts: dict[str, Draw], left_over: Draw, over: Draw, rent: DevicePrice) -> Term:
    return Term(
        label="hybrid",
        value=median(sum(part.sum(axis=1) for part in parts.values()) + left_over[:, 0]),
        unit="usd",
        formula="base fleet + electricity + overflow tokens + people + commitments left over",
        children=(
            *(Term(label=label, value=median(part.sum(axis=1)), unit="usd") for label, part in parts.items()),
            Term(label="commitments left over", value=median(left_over), unit="usd"),
            Term(
                label="answers that overflow",
                value=median(over),
                unit="ratio",
                formula="mean over the hours of a day of max(0, rate - base capacity) / mean rate",
            ),
            rent.tree(),
        ),
    )


def overflow_ratio(case: Case, base_rate_per_s: Draw) -> Draw:
    """Return the share of answers [..., M] that exceed a base capacity, over the hours of a mean day."""
    return _spilled_ratio(case, np.asarray(base_rate_per_s) / case.mean_rate_per_s)


def _spilled_ratio(case: Case, level_ratio: Draw) -> Draw:
    knots, over = case.once(("spilled",), lambda: spill_curve(case.hourly_shape_ratio))
    result: Draw = np.interp(level_ratio, knots, over)
    return result


def spill_curve(hourly_shape_ratio: Draw) -> tuple[Draw, Draw]:
    """Return levels and the mean over the hours of what exceeds each, both as shares of the mean rate.

    It is straight between the rates of two hours, so those of all hours fix it.

    Example:
        >>> levels, over = spill_curve(np.array([0.5, 1.5]))
        >>> np.interp([0.0, 1.0, 2.0], levels, over).tolist()
        [1.0, 0.25, 0.0]
    """
    knots = np.unique(np.append(0.0, hourly_shape_ratio))
    return knots, np.maximum(hourly_shape_ratio - knots[:, None], 0.0).mean(axis=1)


def choose_base(case: Case, capacity_per_s: Draw, usd_per_replica: Draw, usd_per_request: Draw, step: int = 1) -> Draw:
    """Return base replicas in each month: those of the least cost at the median draw (at each load of a curve).

    One decides before the draw is known, so the split is the same in every draw.
    """

    def known(values: Draw) -> Draw:
        rows = np.asarray(values, dtype=np.float64)
        return np.median(rows, axis=0, keepdims=True) if case.draws.seed is not None else rows

    rate, capacity = known(case.mean_rate_per_s), known(capacity_per_s)
    most = np.ceil(rate * case.hourly_shape_ratio.max() / capacity)
    tried = np.ceil(most[..., None] * np.linspace(1 / SPLITS, 1.0, SPLITS) / step) * step  # [., M, SPLITS]
    mean = rate[..., None]
    spilled = mean * _spilled_ratio(case, tried * capacity[..., None] / mean)
    cost = tried * known(usd_per_replica)[..., None] + spilled * SECONDS_PER_MONTH * known(usd_per_request)[..., None]
    best = np.argmin(cost, axis=-1)[..., None]
    result: Draw = np.take_along_axis(tried, best, axis=-1)[..., 0]
    return result
