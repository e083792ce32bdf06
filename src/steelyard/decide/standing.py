"""How the routes stand in each draw: cost where floor and objective are kept, infinity where not."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from steelyard import catalog
from steelyard.compare.case import Case
from steelyard.compare.draws import Draw
from steelyard.compare.result import TIE, TOO_CLOSE
from steelyard.compare.routes.outcome import Outcome
from steelyard.compare.verdict import best_in_each
from steelyard.decide.result import NOBODY, Odds

CRITERION = "least total cost over the horizon among the routes that keep floor and objective, draw by draw"


def standing_costs(case: Case, running: Mapping[str, Outcome]) -> dict[str, Draw]:
    """Return total costs [D] of the routes in the running; infinity in draws in which floor or objective is missed."""
    count = case.draws.count
    return {
        route: np.broadcast_to(np.where(kept(case, found), found.total_usd, np.inf)[:, 0], (count,))
        for route, found in running.items()
    }


def kept(case: Case, found: Outcome) -> Draw:
    """Tell in which draws [D, 1] an option keeps the quality floor and the latency objective."""
    floor, value = case.scenario.quality.floor, found.score.value
    if floor is None or value is None:
        return np.asarray(found.met)
    # Keyed by the score, as in the factor `purpose`: two routes that serve one model have one quality.
    drawn = case.draws.shifted(f"score {found.score.note} {value.p50}", value.p10, value.p50, value.p90)
    return np.asarray(found.met & (drawn >= floor))


def overall(costs: Mapping[str, Draw]) -> Odds:
    """Return which route is the one to choose, and in which share of the draws."""
    if not costs:
        return Odds(id="overall", title="Overall", criterion=CRITERION, winner="", shares={NOBODY: 1.0})
    names = list(costs)
    best = best_in_each(np.stack([costs[name] for name in names]))
    alone = best.mean(axis=1)
    parts = (best / np.maximum(best.sum(axis=0), 1)).mean(axis=1)
    shares = dict(zip(names, parts.tolist(), strict=True))
    if nobody := float((~best.any(axis=0)).mean()):
        shares[NOBODY] = nobody
    needed = catalog.calibration("compare")["win_probability"].value
    enough = [name for name, share in zip(names, alone, strict=True) if share >= needed]
    winner = TIE if len(enough) > 1 else enough[0] if enough else TOO_CLOSE
    return Odds(id="overall", title="Overall", criterion=CRITERION, winner=winner, shares=shares)
