"""Where a hybrid sends what its base fleet does not carry: an API, or devices rented by the hour."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from steelyard.compare.case import Case
from steelyard.compare.draws import Draw
from steelyard.compare.quality import Score
from steelyard.compare.routes.api import api_latency, price_of, request_energy, token_cost
from steelyard.compare.routes.device_price import ON_DEMAND, device_price
from steelyard.compare.routes.outcome import Latency
from steelyard.compare.routes.replica import Replica
from steelyard.compare.routes.serve import fleet_energy_j
from steelyard.units import SECONDS_PER_MONTH


@dataclass(frozen=True, kw_only=True)
class Overflow:
    """A supplier of single answers, and what it charges in a month for those beyond a base fleet."""

    name: str
    score: Score
    latency: Latency
    usd_per_request: Draw  # [D, M] for a steady stream of them
    cost_usd: Callable[[Draw, Draw], Draw]  # (base capacity [D, M] in requests/s, share that overflows) -> [D, M]
    energy_j_per_request: Draw  # [D, 1] at the facility's meter
    needs_people: bool = False  # whether it is run by the same people as the base fleet
    sources: tuple[str, ...] = ()


def from_api(case: Case, name: str) -> Overflow:
    """Return the overflow to an API option.

    Raises:
        UnknownError: It has no price.
    """
    price = price_of(case, name)
    each = token_cost(case, name, price, np.ones((1, case.months)))
    return Overflow(
        name=name,
        score=case.score(name, "api"),
        latency=api_latency(case),
        usd_per_request=each,
        cost_usd=lambda _base, over: each * case.requests * over,
        energy_j_per_request=request_energy(case),
        sources=(price.input.source, price.output.source),
    )


def from_devices(case: Case, replica: Replica, score: Score) -> Overflow:
    """Return the overflow to devices of the same kind, rented on demand for the hours that need them.

    Raises:
        UnknownError: They have no on-demand price.

    Assumes:
        The hours of a day are known ahead, so that a device stands ready when its hour begins.
    """
    price = device_price(case, replica.device.id, ON_DEMAND)
    per_replica = price.usd_per_device_s * replica.deployment.num_devices
    carried = replica.among

    def cost(base_per_s: Draw, _over: Draw) -> Draw:
        rates = case.mean_rate_per_s[..., None] * case.hourly_shape_ratio - base_per_s[..., None]  # [D, M, 24]
        hired = np.ceil(np.maximum(rates, 0.0) / carried[..., None] - 1e-9).mean(axis=-1)
        result: Draw = hired * per_replica * SECONDS_PER_MONTH
        return result

    one = np.full((1, 1), float(replica.deployment.num_devices))
    full_j = fleet_energy_j(case, replica, one, np.full((1, 1), np.inf))
    return Overflow(
        name=f"{replica.device.id} on demand",
        score=score,
        latency=replica.latency,
        usd_per_request=per_replica / carried,
        cost_usd=cost,
        energy_j_per_request=full_j / (carried * SECONDS_PER_MONTH),
        needs_people=True,
        sources=price.sources,
    )
