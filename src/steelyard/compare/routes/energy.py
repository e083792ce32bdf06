"""PUE, price of electricity and carbon of the grid for one case: as stated, else by region from the catalogue."""

from __future__ import annotations

from steelyard import economics
from steelyard.compare.case import Case
from steelyard.compare.draws import Draw


def pue(case: Case) -> Draw:
    stated = case.scenario.prices.pue_ratio
    if stated is not None:
        return case.stated(stated)
    return case.once(("pue", case.draws), lambda: case.drawn("pue", economics.pue()))


def electricity_usd_per_j(case: Case) -> Draw:
    stated = case.scenario.prices.electricity_usd_per_j
    if stated is not None:
        return case.stated(stated)
    region = case.scenario.region
    return case.once(
        ("electricity", case.draws), lambda: case.drawn("electricity", economics.electricity_price(region))
    )


def grid_kgco2e_per_j(case: Case) -> Draw:
    stated = case.scenario.prices.grid_kgco2e_per_j
    if stated is not None:
        return case.stated(stated)
    return case.drawn("grid", economics.grid_intensity(case.scenario.region))
