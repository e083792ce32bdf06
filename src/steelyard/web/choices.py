"""The lists that the page chooses from: names of the catalogue, with words for people."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from steelyard import catalog, economics
from steelyard.errors import UnknownError
from steelyard.units import format_quantity

Choices = tuple[tuple[str, str], ...]  # name, words


@catalog.remembered
def workloads() -> Choices:
    """Return the presets of request lengths, and "own" for stated ones."""
    presets = catalog.workloads().values()
    return (*((item.id, item.name) for item in presets), ("own", "lengths of your own (below)"))


@catalog.remembered
def models() -> Choices:
    """Return the models of the catalogue."""
    return tuple(sorted((item.id, item.name) for item in catalog.models().values()))


@catalog.remembered
def devices() -> Choices:
    """Return the accelerators that the catalogue has a rental price of."""
    priced = {row["device"] for row in catalog.table("gpu_prices").rows}
    found = (item for item in catalog.accelerators().values() if item.id in priced)
    return tuple((item.id, f"{item.name}, {format_quantity(item.hbm_bytes, 'bytes')}") for item in found)


@catalog.remembered
def regions() -> Choices:
    """Return the regions whose grid and electricity price are both known."""
    found = []
    for row in catalog.table("grid").rows:
        try:
            economics.electricity_price(row["region"])
        except UnknownError:
            continue
        found.append((row["region"], row["name"]))
    return tuple(sorted(found, key=lambda pair: pair[1]))


CHOICES: Mapping[str, Callable[[], Choices]] = {
    "workloads": workloads,
    "models": models,
    "devices": devices,
    "regions": regions,
}
