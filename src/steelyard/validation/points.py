"""Measured figures to predict, each with the family of sources that it must be left out with."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from steelyard import catalog
from steelyard.device import Device, collective_time

Row = Mapping[str, str]
Vector = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """One measured figure: what it is, how much, and the published row that states it."""

    id: str
    family: str
    metric: str  # a name of the room: "speed", "peak_memory", "ttft", ...
    value: float  # measured, in the unit of the metric
    row: Row


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """A measured figure that is not predicted, and why."""

    id: str
    family: str
    metric: str
    reason: str


@functools.lru_cache(maxsize=4)
def _families(table: str) -> Mapping[str, str]:
    rows = catalog.published("families").rows
    return {row["source"]: row["family"] for row in rows if row["file"] == table}


def family(table: str, row: Row) -> str:
    """Return the family of a row: as it says itself, as `families.csv` says, or its source alone.

    All versions and copies of one origin are one family, so that none is predicted by a fit that saw another.

    Example:
        >>> family("training", {"source": "nemo-docs-24.12"}), family("training", {"source": "my cluster"})
        ('nvidia-nemo', 'my cluster')
    """
    return row.get("family") or _families(table).get(row["source"], row["source"])


def check_links(on: Device, devices: float) -> None:
    """Refuse a row whose devices no link of the catalogue joins, before it is predicted together with others.

    Raises:
        UnknownError: The bandwidth of a link that so many need is not known.
    """
    if devices > 1:
        collective_time("all_reduce", 1.0, devices, on)


def by_run(rows: Iterable[Row]) -> dict[str, list[Row]]:
    """Return the rows by run: an id that ends with the metric names its run before; a row without an id is alone."""
    runs: dict[str, list[Row]] = {}
    for number, row in enumerate(rows, start=1):
        name = row.get("id", "").removesuffix(f"-{row.get('metric', '')}")
        runs.setdefault(name or f"row {number}", []).append(row)
    return runs


def equal_weights(families: Sequence[str]) -> Vector:
    """Return a weight for each point, so that every family counts alike; they add up to the number of points."""
    names, member, counts = np.unique(np.asarray(families), return_inverse=True, return_counts=True)
    weights: Vector = len(member) / (len(names) * counts[member])
    return weights


def effective_weights(families: Sequence[str], alike_ratio: float) -> Vector:
    """Return a weight for each point, so that every family counts by the rows that it has independently.

    Args:
        families: Of the points.
        alike_ratio: How much the rows of a family miss together: the share of the variance of misses that they have in
            common. n rows then count as n / (1 + (n - 1) alike_ratio): with 1 as one, with 0 as n.

    Source: Kish, "Survey Sampling", 1965, section 5.4 (design effect of clusters).

    Example:
        >>> effective_weights(["a", "b", "b", "b"], 0.25).round(2).tolist()  # three rows count as two
        [1.0, 0.67, 0.67, 0.67]
    """
    _, member, counts = np.unique(np.asarray(families), return_inverse=True, return_counts=True)
    weights: Vector = np.asarray(1.0 / (1.0 + (counts[member] - 1.0) * alike_ratio), np.float64)
    return weights
