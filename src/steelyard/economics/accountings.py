"""One training run, three bills: rented, amortised on an owned cluster, and the cluster bought for it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Any

from steelyard.economics.energy import HYPERSCALER, electricity_price, energy_cost_usd
from steelyard.economics.energy import pue as pue_of
from steelyard.economics.ownership import Ownership, ownership
from steelyard.economics.rental import CONTRACT, RentalPrice, rental_price
from steelyard.records.term import term
from steelyard.units import Array

REGION = "United States"


@dataclass(frozen=True, slots=True, kw_only=True)
class Accountings:
    """The same device time under three accountings [USD]; they answer different questions and differ up to
    20 times.
    """

    rented_usd: Array = term(
        "rented", "usd", "device time * rental price (power included)", parts=("device_s", "rental")
    )
    amortised_usd: Array = term(
        "amortised on an owned cluster",
        "usd",
        "device time * owned device / busy share + energy",
        parts=("device_s", "owned", "fleet_busy_ratio", "energy_usd"),
    )
    bought_usd: Array = term(
        "cluster bought for it",
        "usd",
        "devices * capex + energy",
        parts=("num_devices", "owned", "energy_usd"),
    )
    energy_usd: Array = term(
        "electricity", "usd", "IT energy * PUE * price", parts=("it_energy_j", "pue_ratio", "usd_per_j")
    )
    device_s: Array = term("device time", "device_s")
    num_devices: Array = term("devices", "device")
    fleet_busy_ratio: Array = term("share of its life an owned device is used", "ratio")
    it_energy_j: Array = term("energy of devices and hosts", "j")
    pue_ratio: Array = term("facility energy over IT energy", "ratio")
    usd_per_j: Array = term("electricity price", "usd_per_j")
    rental: RentalPrice
    owned: Ownership


def training_accountings(
    device_s: Array,
    it_energy_j: Array,
    device: Any,
    *,
    num_devices: Array,
    as_of: date | None = None,
    kind: str = CONTRACT,
    rental: RentalPrice | None = None,
    owned: Ownership | None = None,
    fleet_busy_ratio: Array = 1.0,
    pue: Array | None = None,
    usd_per_j: Array | None = None,
) -> Accountings:
    """Return what a run costs [USD] rented, amortised on an owned cluster, and with the cluster bought for
    it.

    Args:
        device_s: Device time of the run, failures and restarts included.
        it_energy_j: Energy drawn by devices and hosts.
        device: Catalogue id or device record.
        num_devices: Devices of the cluster.
        as_of: Day of the rental prices; the newest when None.
        kind: Kind of rental contract; a job of months is charged each provider's lowest firm price
            (`contract`).
        rental, owned: Prices in place of the catalogue's.
        fleet_busy_ratio: Share of its life in which an owned device works for somebody.
        pue, usd_per_j: In place of a hyperscaler's PUE and the United States' industrial price.

    Raises:
        UnknownError: The device has no rental price of that kind and date, or no purchase price.

    Assumes:
        Staff, data, failed experiments and earlier runs are not in it.
    """
    price = rental_price(device, kind, as_of=as_of) if rental is None else rental
    own = ownership(device) if owned is None else owned
    pue_ratio = pue_of(HYPERSCALER).value if pue is None else pue
    tariff = electricity_price(REGION).value if usd_per_j is None else usd_per_j
    energy = energy_cost_usd(it_energy_j, pue=pue_ratio, usd_per_j=tariff)
    return Accountings(
        rented_usd=device_s * price.usd_per_device_s,
        amortised_usd=device_s * own.usd_per_device_s / fleet_busy_ratio + energy,
        bought_usd=num_devices * own.capex_usd_per_device + energy,
        energy_usd=energy,
        device_s=device_s,
        num_devices=num_devices,
        fleet_busy_ratio=fleet_busy_ratio,
        it_energy_j=it_energy_j,
        pue_ratio=pue_ratio,
        usd_per_j=tariff,
        rental=price,
        owned=own,
    )
