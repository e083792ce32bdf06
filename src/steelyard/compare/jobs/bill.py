"""What a run costs, draws and emits: three accountings, facility energy, carbon, at the draws."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from steelyard import economics, training
from steelyard.compare.draws import Draw, Draws
from steelyard.compare.jobs.job import TrainingJob
from steelyard.errors import UnknownError
from steelyard.records.figure import Figure
from steelyard.units import Array

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Bill:
    """Money, energy and carbon of a run at the draws [D, 1]; what has no price is None, and `unpriced` says why."""

    rented_usd: Array | None
    amortised_usd: Array | None
    bought_usd: Array | None
    energy_j: Draw  # at the facility's meter
    carbon_kgco2e: Draw
    accountings: economics.Accountings | None  # of the draws, for an explanation
    rental: economics.RentalPrice | None
    grid: Figure
    unpriced: tuple[str, ...]


def bill(job: TrainingJob, run: training.Run, draws: Draws) -> Bill:
    """Return what a run costs, at its draws.

    Raises:
        UnknownError: The region is in no table of prices or of grids.
    """
    grid = economics.grid_intensity(job.region)
    pue = draws.figure("pue", economics.pue("hyperscaler"))
    tariff = draws.figure("electricity", economics.electricity_price(job.region))
    energy_j = np.asarray(run.it_energy_j) * pue
    unpriced: list[str] = []
    rental = _known(lambda: job.rental, unpriced)
    owned = _known(lambda: _owned(job, draws), unpriced)
    rented_usd = None
    if rental is not None:
        price = draws.from_sorted("rental", rental.provider_usd_per_device_s)
        rented_usd = np.asarray(run.device_s) * price
    accountings = None
    if rental is not None and owned is not None:  # for the explanation: it needs all three
        accountings = economics.training_accountings(
            run.device_s,
            run.it_energy_j,
            job.device.accelerator,
            num_devices=run.num_devices,
            rental=rental,
            owned=owned,
            pue=pue,
            usd_per_j=tariff,
        )
    power_usd = economics.energy_cost_usd(run.it_energy_j, pue=pue, usd_per_j=tariff)
    amortised_usd = None if owned is None else run.device_s * owned.usd_per_device_s + power_usd
    bought_usd = None if owned is None else run.num_devices * owned.capex_usd_per_device + power_usd
    return Bill(
        rented_usd=rented_usd,
        amortised_usd=amortised_usd,
        bought_usd=bought_usd,
        energy_j=energy_j,
        carbon_kgco2e=np.asarray(
            economics.carbon_kgco2e(run.it_energy_j, pue=pue, kgco2e_per_j=draws.figure("grid", grid))
        ),
        accountings=accountings,
        rental=rental,
        grid=grid,
        unpriced=tuple(unpriced),
    )


def _owned(job: TrainingJob, draws: Draws) -> economics.Ownership:
    card = job.device.accelerator
    inputs = economics.ownership_inputs(card)
    drawn = {name: draws.figure(f"owned {name}", inputs[name]) for name in economics.OWNERSHIP_DRAWN}
    return economics.ownership(card, site="colocation", **drawn)


def _known(find: Callable[[], T], unpriced: list[str]) -> T | None:
    """Return what is found, or None, with the reason added to `unpriced`."""
    try:
        return find()
    except UnknownError as error:
        unpriced.append(str(error))
        return None
