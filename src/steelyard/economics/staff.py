"""What the people who run a fleet cost."""

from __future__ import annotations

import numpy as np

from steelyard import catalog
from steelyard.records.figure import Figure
from steelyard.units import Array


@catalog.remembered
def engineer_figures() -> tuple[Figure, Figure]:
    """Return the published salary of an engineer of a cluster [USD/s], and loaded cost over salary."""
    items = {row["item"]: row for row in catalog.table("ownership").rows}
    return items["salary-cluster-engineer"].figures["value"], items["salary-loading"].figures["value"]


def engineer_usd_per_s() -> float:
    """Return the loaded cost of one engineer of a cluster [USD/s]: salary times loaded cost over salary."""
    salary, loading = engineer_figures()
    return salary.value * loading.value


def staff_usd_per_s(num_devices: Array, *, round_the_clock: bool = True) -> Array:
    """Return what engineers for a fleet cost [USD/s]: one for so many devices, a whole rota where it runs
    day and night.

    people = max(devices / devices per engineer, least team); cost = people * loaded salary

    Example:
        >>> staff_usd_per_s(8) == staff_usd_per_s(80)  # the rota is what costs
        True
    """
    items = {row["item"]: row for row in catalog.table("ownership").rows}
    per_engineer = catalog.calibration("economics")["devices_per_engineer"].value
    least = items["on-call-team"].value("value") if round_the_clock else 0.0
    people = np.maximum(np.asarray(num_devices, dtype=np.float64) / per_engineer, least)
    cost = people * engineer_usd_per_s()
    return float(cost) if cost.ndim == 0 else cost
