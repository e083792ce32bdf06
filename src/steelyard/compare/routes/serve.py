"""Route `serve`: an open model on devices that are rented or owned, sized for the peak, idle time charged."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, partial

import numpy as np

from steelyard import arch, device, economics, inference
from steelyard.compare.case import Case
from steelyard.compare.draws import Draw
from steelyard.compare.quality import Score
from steelyard.compare.result import Evidence
from steelyard.compare.routes import energy
from steelyard.compare.routes.api import serving_flop
from steelyard.compare.routes.outcome import ZERO, Latency, Outcome, PerDevice, Tree, Unpriced, median
from steelyard.compare.routes.people import engineer_usd_per_month
from steelyard.compare.scenario import ServeRoute
from steelyard.errors import DoesNotFitError, UnknownError
from steelyard.records.system import Accelerator
from steelyard.records.term import Term, explain
from steelyard.units import SECONDS_PER_MONTH, format_quantity

COMMITMENT_MONTHS = {"reserved_1y": 12, "reserved_3y": 36}
FREE_TO_LEAVE = ("on_demand", "spot")  # given back in the month they are no longer needed
OWNERSHIP_DRAWN = ("server_usd_per_device", "network_ratio", "rate_ratio", "life_s", "maintenance_per_s")


@dataclass(frozen=True, kw_only=True)
class DevicePrice:
    """What a device costs in each month [D, M] per second it is held, and what stands behind it."""

    usd_per_device_s: Draw
    powered_by_user: bool  # electricity comes on top
    evidence: Evidence
    tree: Tree
    capital_usd: Draw | float = 0.0  # to buy one [D, 1]
    note: str = ""
    sources: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Replica:
    """One replica of a model on some devices, and what it can carry within the objective."""

    model: arch.Model
    device: device.Device
    deployment: inference.Deployment
    capacity: inference.Capacity  # fields [D + 1, 1]: the draws, then the median case
    rows: slice  # those of this case

    def tree(self) -> Term:
        """Return how the capacity of the median case comes about."""
        return explain(self.capacity, index=(-1, 0))

    @property
    def name(self) -> str:
        return f"{self.model.id} on {self.deployment.num_devices}x {self.device.id}"

    def of(self, field: str) -> Draw:
        """Return a field of the capacity at this case's draws [D, 1]."""
        values: Draw = np.asarray(getattr(self.capacity, field))[self.rows]
        return values

    @cached_property
    def request_rate_per_s(self) -> Draw:
        """Capacity [D, 1]; where a draw misses the objective, the least of those that meet it."""
        rate = self.of("request_rate_per_s")
        reached = rate > 0
        return np.where(reached, rate, rate[reached].min()) if reached.any() else rate

    @cached_property
    def met_ratio(self) -> float:
        """Share of the draws in which the objective is met."""
        return float((self.of("request_rate_per_s") > 0).mean())


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


def find_replicas(case: Case, route: ServeRoute, model_ref: str, device_ref: str) -> list[Replica]:
    """Return the replicas of every size that meet the objective: which is cheapest depends on the load.

    Raises:
        DoesNotFitError: None fits, or none meets the objective.
    """
    model, on = case.model(model_ref), case.device(device_ref)
    settings = (route.weight_dtype, route.kv_dtype, route.max_devices_per_replica)
    drawn = (case.scenario.draws, case.scenario.seed)
    found = case.kept(
        ("replicas", model, on, case.asked, settings, drawn),
        lambda: inference.deployments(
            model,
            on,
            case.lengths,
            case.objective,
            max_devices=route.max_devices_per_replica,
            weight_dtype=route.weight_dtype,
            kv_dtype=route.kv_dtype,
            time_ratio=case.serving_time_ratio,
        ),
    )
    rows = slice(0, -1) if case.draws.seed is not None else slice(-1, None)
    return [
        Replica(model=model, device=on, deployment=deployment, capacity=capacity, rows=rows)
        for deployment, capacity in found
    ]


def device_price(case: Case, device_ref: str, pricing: str) -> DevicePrice:
    """Return the price of a device under one way of paying: the user's contract, ownership, or the rental market."""
    return case.once(("price", device_ref, pricing, case.draws), lambda: _device_price(case, device_ref, pricing))


def _device_price(case: Case, device_ref: str, pricing: str) -> DevicePrice:
    stated = case.scenario.prices.devices.get(device_ref, {}).get(pricing)
    if stated is not None:
        told = Term(label=f"{pricing} price", value=stated, unit="usd_per_device_s", source="stated in the scenario")
        flat = np.full((1, case.months), stated)
        return DevicePrice(
            usd_per_device_s=flat, powered_by_user=pricing == "owned", evidence="stated", tree=lambda: told
        )
    accelerator = case.device(device_ref).accelerator
    return _owned_price(case, accelerator) if pricing == "owned" else _rental_price(case, accelerator.id, pricing)


def _owned_price(case: Case, accelerator: Accelerator) -> DevicePrice:
    inputs = economics.ownership_inputs(accelerator)
    drawn = {name: case.drawn(f"owned {name}", inputs[name]) for name in OWNERSHIP_DRAWN}
    owned = economics.ownership(accelerator, site="colocation", **drawn)
    return DevicePrice(
        usd_per_device_s=owned.usd_per_device_s * np.ones((1, case.months)),
        powered_by_user=True,
        evidence="predicted",
        tree=partial(explain, owned),
        capital_usd=np.asarray(owned.capex_usd_per_device),
        sources=owned.sources,
    )


def _rental_price(case: Case, device_id: str, pricing: str) -> DevicePrice:
    rental = economics.rental_price(device_id, pricing, as_of=case.scenario.as_of)
    trend = case.rental_price_ratio if pricing in FREE_TO_LEAVE else 1.0
    drawn = case.draws.from_sorted("rental", rental.provider_usd_per_device_s) * trend
    return DevicePrice(
        usd_per_device_s=drawn * np.ones((1, case.months)),
        powered_by_user=False,
        evidence="cited",
        tree=partial(explain, rental),
        note=f"{device_id}, {pricing}: median and range of {rental.note}",
        sources=rental.sources,
    )


def replicas_needed(case: Case, replica: Replica, peak_rate_per_s: Draw, pricing: str) -> Draw:
    """Return replicas held in each month [D, M]; what is reserved or owned is not given back within the horizon."""
    needed = inference.fleet_size(
        replica.request_rate_per_s,
        peak_rate_per_s,
        arrival_cv_ratio=case.workload.arrival_cv_ratio,
        batch=replica.of("batch"),
    )
    step = replicas_bought_together(replica, pricing)
    held: Draw = np.ceil(np.asarray(needed) / step) * step
    return held if pricing in FREE_TO_LEAVE else np.maximum.accumulate(held, axis=1)


def replicas_bought_together(replica: Replica, pricing: str) -> int:
    """Return how many replicas come at once: one is bought by the whole server, rented by the device."""
    per_server = replica.device.accelerator.devices_per_node
    return max(1, per_server // replica.deployment.num_devices) if pricing == "owned" else 1


def own_latency(case: Case, replica: Replica) -> Latency:
    """Return the latency of one's own replica at full load; TTFT is the least certain and carries its own residual."""
    sigma = case.calibration("inference")["ttft_residual_sigma"].value
    ttft_s = replica.of("ttft_s") * case.draws.factor("ttft", sigma)
    return Latency(
        ttft_s=ttft_s,
        tpot_s=replica.of("tpot_s"),
        e2e_s=replica.of("e2e_s") - replica.of("ttft_s") + ttft_s,
        evidence="predicted",
        note="at full load, at the objective's percentile",
    )


def fleet_energy_j(case: Case, replica: Replica, devices: Draw, rate_per_s: Draw) -> Draw:
    """Return energy at the meter in each month for a fleet that carries a mean rate."""
    carried = np.maximum(devices / replica.deployment.num_devices * replica.request_rate_per_s, 1e-300)
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
    needed = replicas_needed(case, replica, case.peak_rate_per_s, pricing)
    devices = np.maximum(needed * replica.deployment.num_devices, least_devices)
    energy_j = fleet_energy_j(case, replica, devices, case.mean_rate_per_s)
    rent = devices * price.usd_per_device_s * SECONDS_PER_MONTH
    power = energy_j * energy.electricity_usd_per_j(case) if price.powered_by_user else np.zeros_like(rent)
    people = engineers * engineer_usd_per_month(case) * np.ones((1, case.months))
    left_over = left_over_usd(case, devices, price, pricing)
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
        latency=own_latency(case, replica),
        held=partial(held_text, replica, pricing, devices, capital),
        tree=partial(_tree, f"{route_name}: {option}", price, replica, devices, rent, power, people, left_over),
        people_usd=people,
        left_over_usd=left_over,
        capital_usd=capital,
        per_device=per_device(replica),
        capacity_tree=replica.tree,
        misses=misses_objective(case, replica),
        assumed=(price.note,) if price.note else (),
        sources=price.sources,
    )


def misses_objective(case: Case, replica: Replica) -> str:
    """Return why a replica is out of the running: too many draws of its speed miss the objective."""
    if replica.met_ratio >= case.calibration("compare")["win_probability"].value:
        return ""
    return f"meets the objective in only {replica.met_ratio:.0%} of draws"


def left_over_usd(case: Case, devices: Draw, price: DevicePrice, pricing: str) -> Draw:
    """Return what is owed after the horizon [D, 1]: each device added is committed for its whole term."""
    term = COMMITMENT_MONTHS.get(pricing, 0)
    if not term:
        return np.zeros((len(devices), 1))
    added = np.diff(devices, axis=1, prepend=0.0)
    after = np.maximum(term - (case.months - np.arange(case.months)), 0)
    owed = added * after * price.usd_per_device_s * SECONDS_PER_MONTH
    total: Draw = owed.sum(axis=1, keepdims=True)
    return total


def per_device(replica: Replica) -> PerDevice:
    return PerDevice(
        request_rate_per_s=replica.request_rate_per_s / replica.deployment.num_devices,
        prefill_time_ratio=replica.of("prefill_time_ratio"),
        num_devices=replica.deployment.num_devices,
        model=replica.model,
    )


def held_text(replica: Replica, pricing: str, devices: Draw, capital_usd: Draw) -> str:
    """Return what is to be rented or bought, in words."""
    first, last = int(median(devices[:, 0])), int(median(devices[:, -1]))
    counts = f"{first}" if first == last else f"{first}, {last} by the end,"
    if pricing == "owned":
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
            total("people", people, "engineers x loaded salary x time"),
            total("commitments left over", left_over, "devices added x months of the term after the horizon x price"),
        ),
    )
