"""Published laws of loss: their parameters, from the catalogue."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from steelyard import catalog
from steelyard.errors import UnknownError, unknown
from steelyard.records.estimate import Estimate
from steelyard.units import Array

DEFAULT_LAW = "besiroglu2024"


@dataclass(frozen=True, slots=True, kw_only=True)
class Law:
    """One published fit L(N, D) = E + A N^-alpha + B D^-beta, in nats per token of its own tokenizer and corpus.

    Losses of two laws are not comparable; differences and equivalences (same loss, compute ratios) are.
    """

    id: str
    E: float
    A: float
    B: float
    alpha: float
    beta: float
    source: str = ""

    @property
    def G(self) -> float:
        """The constant of the compute-optimal split."""
        return float((self.alpha * self.A / (self.beta * self.B)) ** (1.0 / (self.alpha + self.beta)))


@functools.cache
def laws() -> Mapping[str, Law]:
    """Return the laws of the catalogue that have the parametric form, by id.

    Sets whose rounding is known to contradict their own paper are kept in the catalogue and left out here.
    """
    found = {}
    for row in catalog.table("scaling_laws").rows:
        stated = row.figures
        if not {"E", "A", "B", "alpha", "beta"} <= set(stated) or row["id"].endswith("_rounded"):
            continue
        values = {name: row.value(name) for name in ("E", "A", "B", "alpha", "beta")}
        found[row["id"]] = Law(id=row["id"], source=row.source, **values)
    return MappingProxyType(found)


def get_law(law: str | Law = DEFAULT_LAW) -> Law:
    """Return the law of this id (a `Law` is returned as it is).

    Raises:
        UnknownError: The catalogue has no such law.
    """
    if isinstance(law, Law):
        return law
    try:
        return laws()[law]
    except KeyError:
        raise UnknownError(unknown("scaling law", law, laws())) from None


def over_laws(quantity: Callable[[Law], Array]) -> Estimate:
    """Return a quantity under the default law, between its least and its largest over all laws.

    `p10` and `p90` are these extremes, not percentiles: the laws are few, and of different corpora.

    Example:
        >>> from steelyard.training import compute_optimal
        >>> ratio = over_laws(lambda law: compute_optimal(5.76e23, law).tokens_per_param)
        >>> f"{ratio.p50:.0f}, {ratio.p10:.0f} to {ratio.p90:.0f}"
        '18, 18 to 59'
    """
    values = {name: float(np.asarray(quantity(law))) for name, law in laws().items()}
    return Estimate(p10=min(values.values()), p50=values[DEFAULT_LAW], p90=max(values.values()))
