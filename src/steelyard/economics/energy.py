"""What electricity costs: prices by region, and the facility's overhead on what devices draw."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

import numpy as np

from steelyard import catalog
from steelyard.catalog import Row
from steelyard.economics.regions import region_names
from steelyard.errors import UnknownError, unknown
from steelyard.records.figure import Figure
from steelyard.units import Array

INDUSTRY = "industry"
HYPERSCALER = "hyperscaler"

_FLEETS = ("google", "azure", "aws", "meta")
_BUYER = (
    "industrial",
    "non-household",
    "business",
    "commercial",
)  # the sector nearest to a data centre first


@catalog.remembered
def electricity_price(region: str) -> Figure:
    """Return the price of electricity for large buyers in a region [USD/J], before PUE.

    Rule: the newest row of the sector nearest to a data centre (industrial, then non-household, business,
    commercial); other rows of the same region, older or of another sector, give low and high.

    Args:
        region: A name of the electricity table ("Virginia", "Germany", "EU-27") or a code of the grid table
            ("US-VA", "DEU").

    Raises:
        UnknownError: No price for that region; the nearest names are given.

    Example:
        >>> round(electricity_price("US-VA").value * 3.6e6, 4)
        0.0892
    """
    rows = catalog.table("electricity").rows
    names = region_names(region)
    of_region = [row for row in rows if row["region"].casefold() in names]
    if not of_region:
        known = {row["region"] for row in rows}
        step = "state it under prices.electricity"
        raise UnknownError("unpriced: " + unknown("region of the electricity table", region, known, next_step=step))
    # The newest price of the nearest sector.
    best = min(of_region, key=lambda row: (_sector_rank(row["sector"]), -row.as_of.toordinal()))
    return _with_range(best.figures["price"], [row.value("price") for row in of_region])


@catalog.remembered
def pue(operator: str = INDUSTRY) -> Figure:
    """Return the PUE of an operator: facility energy over IT energy [ratio].

    Args:
        operator: `industry` (the average of a survey of data centres), `hyperscaler` (median of the fleets
        of Google,
            Microsoft, AWS and Meta), or a name of the `pue` table.

    Raises:
        UnknownError: No such operator.

    Example:
        >>> pue("hyperscaler").value < pue("industry").value
        True
    """
    rows = {row["operator"].casefold(): row for row in catalog.table("pue").rows}
    wanted = operator.strip().casefold()
    if wanted == HYPERSCALER:
        return _hyperscaler(rows)
    if wanted == INDUSTRY:
        model = next(row for row in catalog.table("ownership").rows if row["item"] == "pue-model")
        return _with_range(rows["industry-average"].figures["pue"], [model.value("high")])  # "other operators"
    if wanted not in rows:
        raise UnknownError(unknown("operator of the pue table", operator, [HYPERSCALER, INDUSTRY, *rows]))
    return rows[wanted].figures["pue"]


def energy_cost_usd(it_energy_j: Array, *, pue: Array, usd_per_j: Array) -> Array:
    """Return the cost [USD] of energy drawn by devices and hosts, facility overhead included; arrays
    broadcast.

    cost = IT energy * PUE * price

    Example:
        >>> energy_cost_usd(3.6e6, pue=1.5, usd_per_j=0.10 / 3.6e6)
        0.15000000000000002
    """
    return it_energy_j * pue * usd_per_j


def _sector_rank(sector: str) -> int:
    return _BUYER.index(sector) if sector in _BUYER else len(_BUYER)


def _with_range(figure: Figure, values: Iterable[float]) -> Figure:
    """Widen a figure's low and high to what other sources say."""
    known = [figure.value, *values, *(end for end in (figure.low, figure.high) if end is not None)]
    if min(known) == max(known):
        return figure
    return dataclasses.replace(figure, low=min(known), high=max(known))


def _hyperscaler(rows: dict[str, Row]) -> Figure:
    fleets = [rows[name].figures["pue"] for name in _FLEETS]
    values = [figure.value for figure in fleets]
    middle = dataclasses.replace(
        fleets[0], value=float(np.median(values)), basis="derived", note=f"median of {', '.join(_FLEETS)}"
    )
    return _with_range(middle, values)
