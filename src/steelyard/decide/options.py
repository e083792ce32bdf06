"""The options that routes were given, evaluated anew in another case: other loads, other values of an input."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import numpy as np

from steelyard.compare.case import Case
from steelyard.compare.draws import Draw
from steelyard.compare.routes import EVALUATE
from steelyard.compare.routes.outcome import Outcome


def same_options(case: Case, chosen: Mapping[str, Outcome]) -> dict[str, Outcome]:
    """Return the option chosen for each route, in this case."""
    found = {}
    for route, outcome in chosen.items():
        options = [option for option in EVALUATE[route](case) if isinstance(option, Outcome)]
        found[route] = next(option for option in options if option.option == outcome.option)
    return found


def able_options(case: Case, able: Mapping[str, Collection[str]]) -> dict[str, list[Outcome]]:
    """Return all options of each route that can be in the running, in this case."""
    return {
        route: [option for option in EVALUATE[route](case) if isinstance(option, Outcome) and option.option in names]
        for route, names in able.items()
    }


def rows_of(values: Draw, count: int) -> Draw:
    """Return values [1 or D, M] in all `count` rows."""
    return np.broadcast_to(values, (count, values.shape[1]))
