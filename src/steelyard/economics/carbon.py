"""What energy emits: grid intensity by region, location-based."""

from __future__ import annotations

import dataclasses

from steelyard import catalog
from steelyard.economics.regions import region_names
from steelyard.errors import UnknownError, unknown
from steelyard.records.figure import Figure
from steelyard.units import Array


@catalog.remembered
def grid_intensity(region: str) -> Figure:
    """Return the carbon intensity of a region's grid [kgCO2e/J], location-based; a second source gives low
    and high.

    Args:
        region: A code ("US-VA", "DEU", "gcp:us-east4") or a name ("Virginia", "Germany") of the grid table.

    Raises:
        UnknownError: The grid table has no such region; the nearest names are given.

    Example:
        >>> round(grid_intensity("FRA").value * 3.6e9, 1)
        56.0
    """
    rows = catalog.table("grid").rows
    names = region_names(region)
    for row in rows:
        if row["region"].casefold() in names or row["name"].casefold() in names:
            figure = row.figures["intensity"]
            other = row.figure("intensity_alternative")
            if other is None:
                return figure
            ends = sorted((figure.value, other.value))
            return dataclasses.replace(figure, low=ends[0], high=ends[1])
    known = {row["region"] for row in rows} | {row["name"] for row in rows}
    raise UnknownError(unknown("region of the grid table", region, known, next_step="state it under prices.grid"))


def carbon_kgco2e(it_energy_j: Array, *, pue: Array, kgco2e_per_j: Array) -> Array:
    """Return the emissions [kgCO2e] of energy drawn by devices and hosts, facility overhead included.

    emissions = IT energy * PUE * grid intensity; embodied carbon of the hardware is not in it.

    Example:
        >>> carbon_kgco2e(3.6e6, pue=1.0, kgco2e_per_j=0.4 / 3.6e6)
        0.4
    """
    return it_energy_j * pue * kgco2e_per_j
