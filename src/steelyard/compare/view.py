"""What the seven factors look at: the chosen option of every route, and the two activities."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from steelyard.compare.case import Case
from steelyard.compare.draws import Draw
from steelyard.compare.result import ROUTES, Cell, Evidence, Quantity
from steelyard.compare.routes import energy
from steelyard.compare.routes.outcome import Outcome, Unpriced
from steelyard.compare.routes.training_leg import TrainingRun
from steelyard.records.estimate import estimate


@dataclass(frozen=True, kw_only=True)
class View:
    """One evaluated comparison, before it is put into words."""

    case: Case
    chosen: Mapping[str, Outcome | Unpriced | None]  # by route; None: not in the scenario
    able: Mapping[str, frozenset[str]]  # the options of each route that can be in the running, judged over the draws
    tenfold: Mapping[str, Outcome]  # each route's best option at ten times the load
    inference: Outcome  # the activity: one's own fleet where there is one, else the API
    training: TrainingRun  # the activity: the final run of the model that would be trained
    odd: str  # what is to be said about that run; empty where nothing
    typical: View | None  # the same routes in the median case, for explanations whose parts must add up
    least_serving_devices: int  # that hold the served model; 0 where none is served

    @property
    def grid_kgco2e_per_j(self) -> Draw:
        return energy.grid_kgco2e_per_j(self.case)

    def priced(self) -> dict[str, Outcome]:
        return {name: found for name, found in self.chosen.items() if isinstance(found, Outcome)}

    def running(self) -> dict[str, Outcome]:
        """Return the routes that can win."""
        return {name: outcome for name, outcome in self.priced().items() if not outcome.why_not}

    @property
    def explained(self) -> View:
        """Return the view that explanations are built from."""
        return self.typical or self

    def route_cells(self, quantities: Callable[[Outcome], tuple[Quantity, ...]]) -> dict[str, Cell]:
        """Return one cell a route: its quantities, or why there are none."""
        cells = {}
        for route in ROUTES:
            found = self.chosen.get(route)
            if isinstance(found, Outcome):
                cells[route] = Cell(quantities=quantities(found), note=found.why_not)
            else:
                reason = "not considered" if found is None else found.reason
                cells[route] = Cell(quantities=(missing("", "", reason),), note=reason)
        return cells


def quantity(label: str, draws: Draw | float, unit: str, evidence: Evidence, note: str = "") -> Quantity:
    """Return a quantity with the range of its draws."""
    return Quantity(label=label, value=estimate(np.asarray(draws)), unit=unit, evidence=evidence, note=note)


def missing(label: str, unit: str, note: str) -> Quantity:
    return Quantity(label=label, value=None, unit=unit, evidence="assumed", note=note)


def loss(label: str, run: TrainingRun, note: str = "") -> Quantity:
    """Return the loss that a run is predicted to reach; a fine-tuning's is not predicted."""
    if run.loss_nats is None:
        return missing(label, "nat", "measured only; not predicted of a fine-tuning")
    return quantity(label, run.loss_nats, "nat", "predicted", note)
