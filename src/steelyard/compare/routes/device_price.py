"""What a device costs in each month: the user's contract, the rental market, spot with its interruptions, ownership."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np

from steelyard import catalog, economics
from steelyard.compare.case import Case
from steelyard.compare.draws import Draw
from steelyard.compare.result import Evidence
from steelyard.compare.routes.outcome import Tree, median
from steelyard.errors import UnknownError
from steelyard.records.system import Accelerator
from steelyard.records.term import Term, explain, figure_term
from steelyard.units import SECONDS_PER_MONTH

COMMITMENT_MONTHS = {"reserved_1y": 12, "reserved_3y": 36}
ON_DEMAND, SPOT, OWNED = "on_demand", "spot", "owned"
FREE_TO_LEAVE = (ON_DEMAND, SPOT)  # given back in the month they are no longer needed


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


def device_price(case: Case, device_ref: str, pricing: str) -> DevicePrice:
    """Return the price of a device under one way of paying: the user's contract, ownership, or the rental market.

    Raises:
        UnknownError: It has no price of that kind.
    """
    return case.once(("price", device_ref, pricing, case.draws), lambda: _device_price(case, device_ref, pricing))


def _device_price(case: Case, device_ref: str, pricing: str) -> DevicePrice:
    stated = case.scenario.prices.devices.get(device_ref, {}).get(pricing)
    if stated is not None:
        told = Term(label=f"{pricing} price", value=stated, unit="usd_per_device_s", source="stated in the scenario")
        flat = np.full((1, case.months), stated)
        return DevicePrice(
            usd_per_device_s=flat, powered_by_user=pricing == OWNED, evidence="stated", tree=lambda: told
        )
    accelerator = case.device(device_ref).accelerator
    if pricing == OWNED:
        return _owned_price(case, accelerator)
    rented = _rental_price(case, accelerator.id, pricing)
    return _with_interruptions(case, device_ref, rented) if pricing == SPOT else rented


def owed_usd(case: Case, devices: Draw, price: DevicePrice, pricing: str) -> Draw:
    """Return what is still owed if one stops after each month [D, M]: each device added is committed for its term."""
    term, months = COMMITMENT_MONTHS.get(pricing, 0), np.arange(case.months)
    if not term:
        return np.zeros((1, case.months))
    added = np.diff(devices, axis=1, prepend=0.0) * price.usd_per_device_s * SECONDS_PER_MONTH
    held = months - months[:, None] + 1  # months from joining [M, 1] to the end of each month [M]
    left: Draw = np.where(held > 0, np.maximum(term - held, 0), 0).astype(np.float64)
    result: Draw = added @ left
    return result


def _owned_price(case: Case, accelerator: Accelerator) -> DevicePrice:
    inputs = economics.ownership_inputs(accelerator)
    drawn = {name: case.drawn(f"owned {name}", inputs[name]) for name in economics.OWNERSHIP_DRAWN}
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
    rental = case.once(
        ("rental", device_id, pricing),
        lambda: economics.rental_price(device_id, pricing, as_of=case.scenario.as_of),
    )
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


def _with_interruptions(case: Case, device_ref: str, spot: DevicePrice) -> DevicePrice:
    """Return the price of spot devices that on-demand ones stand in for while they are taken back.

    Interruptions cluster (a fleet of one zone and type goes together), so spare spot devices would not help.
    """
    try:
        stand_in = device_price(case, device_ref, ON_DEMAND)
    except UnknownError as error:
        raise UnknownError(f"{error}; on-demand devices stand in for spot ones that are taken back") from None
    taken = economics.interruption(case.device(device_ref).accelerator)
    low, high = taken.value if taken.low is None else taken.low, taken.value if taken.high is None else taken.high
    rate = np.maximum(case.draws.shifted("spot_interruption", low, taken.value, high), 0.0)
    away = rate * case.assumed("spot_return")
    away = away / (1 + away)
    mixed = (1 - away) * spot.usd_per_device_s + away * stand_in.usd_per_device_s

    def tree() -> Term:
        return Term(
            label="spot device, on-demand while it is taken back",
            value=median(mixed),
            unit="usd_per_device_s",
            formula="(1 - share away) * spot + share away * on-demand, share away = rate * time to return / (1 + same)",
            children=(
                spot.tree(),
                stand_in.tree(),
                figure_term("taken back", taken),
                figure_term("time until capacity returns", catalog.calibration("compare")["spot_return"]),
            ),
        )

    return DevicePrice(
        usd_per_device_s=mixed,
        powered_by_user=False,
        evidence="predicted",
        tree=tree,
        note=f"{spot.note}; taken back {taken.value * SECONDS_PER_MONTH:.1%} of devices a month ({taken.note})",
        sources=(*spot.sources, *stand_in.sources, taken.source),
    )
