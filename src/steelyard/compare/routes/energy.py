"""PUE, price of electricity and carbon of the grid for one case: as stated, else by region from the catalogue."""

from __future__ import annotations

from steelyard import economics
from steelyard.compare.case import Case
from steelyard.compare.draws import Draw


def pue(case: Case) -> Draw:
    stated = case.scenario.prices.pue_ratio
    return case.of_draws("pue", economics.pue) if stated is None else case.stated(stated)


def electricity_usd_per_j(case: Case) -> Draw:
    stated = case.scenario.prices.electricity_usd_per_j
    if stated is not None:
        return case.stated(stated)
    return case.of_draws("electricity", lambda: economics.electricity_price(case.scenario.region))


def grid_kgco2e_per_j(case: Case) -> Draw:
    stated = case.scenario.prices.grid_kgco2e_per_j
    if stated is not None:
        return case.stated(stated)
    return case.of_draws("grid", lambda: economics.grid_intensity(case.scenario.region))
