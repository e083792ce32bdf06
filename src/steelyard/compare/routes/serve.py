"""Route `serve`: an open model on devices that are rented or owned, sized for the peak, idle time charged."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np

from steelyard import device
from steelyard.compare.case import Case
from steelyard.compare.draws import Draw
from steelyard.compare.quality import Score
from steelyard.compare.routes import energy
from steelyard.compare.routes.api import serving_flop
from steelyard.compare.routes.device_price import OWNED, DevicePrice, device_price, owed_usd
from steelyard.compare.routes.outcome import ZERO, Outcome, Unpriced, median
from steelyard.compare.routes.people import engineer_usd_per_month, people_terms
from steelyard.compare.routes.replica import Replica, find_replicas
from steelyard.compare.scenario import ServeRoute
from steelyard.errors import DoesNotFitError, UnknownError
from steelyard.records.term import Term
from steelyard.units import SECONDS_PER_MONTH, format_quantity


def evaluate(case: Case) -> list[Outcome | Unpriced]:
    route = case.scenario.routes.serve
    return serve_options(case, route, "serve", route.model or case.scenario.model) if route else []


def serve_options(case: Case, route: ServeRoute, route_name: str, model_ref: str) -> list[Outcome | Unpriced]:
    """Return every device x replica size x pricing option of serving one model."""
    results: list[Outcome | Unpriced] = []
    score = case.score(route_name, model_ref) if route_name == "serve" else case.score(route_name)
    for device_ref in route.devices:
        try:
            replicas = find_replicas(case, route, model_ref, device_ref)
        except (DoesNotFitError, UnknownError) as error:
            results.append(
                Unpriced(route=route_name, option=f"{model_ref} on {device_ref}", reason=str(error), score=score)
            )
            continue
        for pricing in route.pricing:
            try:
                price = device_price(case, device_ref, pricing)
            except UnknownError as error:
                option = f"{model_ref} on {device_ref}, {pricing}"
                results.append(Unpriced(route=route_name, option=option, reason=str(error), score=score))
                continue
            results += [
                fleet(case, route_name, option, replica, price, pricing, route.engineers, score)
                for option, replica in ((f"{replica.name}, {pricing}", replica) for replica in replicas)
                if case.wants(route_name, option)
            ]
    return results


def fleet_energy_j(case: Case, replica: Replica, devices: Draw, rate_per_s: Draw) -> Draw:
    """Return energy at the meter in each month for a fleet that carries a mean rate."""
    carried = np.maximum(replica.carries(devices / replica.deployment.num_devices), 1e-300)
    busy = np.clip(rate_per_s / carried, 0.0, 1.0)
    result: Draw = devices * device.power_w(replica.device, busy) * SECONDS_PER_MONTH * energy.pue(case)
    return result


def fleet(
    case: Case,
    route_name: str,
    option: str,
    replica: Replica,
    price: DevicePrice,
    pricing: str,
    engineers: float,
    score: Score,
    least_devices: float = 0.0,
) -> Outcome:
    """Return the outcome of carrying the whole demand on one's own fleet."""
    needed = replica.held(case.peak_rate_per_s, pricing)
    devices = np.maximum(needed * replica.deployment.num_devices, least_devices)
    energy_j = fleet_energy_j(case, replica, devices, case.mean_rate_per_s)
    rent = devices * price.usd_per_device_s * SECONDS_PER_MONTH
    power = energy_j * energy.electricity_usd_per_j(case) if price.powered_by_user else np.zeros_like(rent)
    people = engineers * engineer_usd_per_month(case) * np.ones((1, case.months))
    owed = owed_usd(case, devices, price, pricing)
    capital = price.capital_usd * devices[:, :1]
    return Outcome(
        route=route_name,
        option=option,
        score=score,
        monthly_usd=rent + power + people,
        upfront_usd=ZERO,
        devices=devices,
        serving_energy_j=energy_j,
        serving_flop=serving_flop(case, case.requests, replica.model),
        first_answer_s=case.assumed("setup_serve"),
        latency=replica.latency,
        held=partial(held_text, replica, pricing, devices, capital),
        tree=partial(
            _tree,
            f"{route_name}: {option}",
            price,
            replica,
            devices,
            rent,
            power,
            people,
            owed[:, -1:],
            partial(people_terms, case, engineers),
        ),
        people_usd=people,
        owed_usd=owed,
        capital_usd=capital,
        per_device=replica.per_device,
        capacity_tree=replica.tree,
        misses=replica.misses,
        met=replica.met,
        notes=replica.model.warnings,
        assumed=(price.note,) if price.note else (),
        sources=price.sources,
    )


def held_text(replica: Replica, pricing: str, devices: Draw, capital_usd: Draw) -> str:
    """Return what is to be rented or bought, in words."""
    first, last = int(median(devices[:, 0])), int(median(devices[:, -1]))
    counts = f"{first}" if first == last else f"{first}, {last} by the end,"
    if pricing == OWNED:
        return f"buy {counts} {replica.device.id} (now {format_quantity(median(capital_usd), 'usd')}, charged monthly)"
    return f"rent {counts} {replica.device.id} ({pricing})"


def _tree(
    label: str,
    price: DevicePrice,
    replica: Replica,
    devices: Draw,
    rent: Draw,
    power: Draw,
    people: Draw,
    left_over: Draw,
    who: Callable[[], tuple[Term, ...]],
) -> Term:
    held = Term(
        label="device time held",
        value=median(devices.sum(axis=1)) * SECONDS_PER_MONTH,
        unit="device_s",
        formula="ceil(peak rate / capacity) x devices a replica x time",
    )

    def total(name: str, usd: Draw, formula: str, children: tuple[Term, ...] = ()) -> Term:
        return Term(label=name, value=median(usd.sum(axis=1)), unit="usd", formula=formula, children=children)

    return total(
        label,
        rent + power + people + left_over / rent.shape[1],
        "devices + electricity + people + commitments left over",
        (
            total("devices", rent, "device time held x price", (held, price.tree(), replica.tree())),
            total("electricity", power, "0 where the rent includes it; else energy x price"),
            total("people", people, "engineers x what one costs x time", who()),
            total("commitments left over", left_over, "devices added x months of the term after the horizon x price"),
        ),
    )
