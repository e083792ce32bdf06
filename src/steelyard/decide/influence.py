"""What matters most, and what it is worth to know it: a tornado of the inputs, and the value of information."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from steelyard.compare.case import Case
from steelyard.compare.draws import Draw
from steelyard.compare.routes.outcome import Outcome
from steelyard.decide.inputs import how_known, label_of
from steelyard.decide.options import same_options
from steelyard.decide.result import Influence
from steelyard.records.estimate import Z90

_LEAST_SWING = 1e-9  # of the cost: an input that moves less is none
_SURE = 2.0  # standard errors that a gain stands above nothing, or the luck of the draws is taken for one


def influences(case: Case, running: Mapping[str, Outcome], lead: str) -> tuple[Influence, ...]:
    """Return the inputs behind the routes in the running, the one that moves the choice most first.

    Each stands at its p10 and p90 in turn, the others at their medians; all rows are one evaluation.
    """
    names = sorted(name for name in case.draws.asked if not name.startswith("score "))
    count = 2 * len(names) + 1
    scores = {name: np.zeros((count, 1)) for name in names}
    for place, name in enumerate(names):
        scores[name][2 * place : 2 * place + 2, 0] = -Z90, Z90
    found = same_options(case.pinned_at(scores, np.ones((count, 1))), running)
    costs = {route: np.broadcast_to(one.total_usd[:, 0], (count,)) for route, one in found.items()}
    worth = information(case, running, lead, names)
    middle = costs[lead][-1]
    results = []
    for place, name in enumerate(names):
        low, high = 2 * place, 2 * place + 1
        swing = max(abs(cost[[low, high]] - cost[-1]).max() for cost in costs.values())
        if swing <= _LEAST_SWING * max(middle, 1e-12):
            continue
        results.append(
            Influence(
                name=name,
                label=label_of(name),
                how=how_known(name),
                low_usd=float(costs[lead][low]),
                high_usd=float(costs[lead][high]),
                gap_low_usd=_gap(costs, lead, low),
                gap_high_usd=_gap(costs, lead, high),
                winner_low=_cheapest(costs, low),
                winner_high=_cheapest(costs, high),
                worth_usd=worth[name],
            )
        )
    return tuple(sorted(results, key=lambda one: (-one.worth_usd, -_swing(one), one.name)))


def _swing(one: Influence) -> float:
    """Return by how much an input moves the lead, or the cost where there is no other route."""
    moved = abs(one.gap_high_usd - one.gap_low_usd)
    return moved if np.isfinite(moved) else abs(one.high_usd - one.low_usd)


def _gap(costs: Mapping[str, Draw], lead: str, row: int) -> float:
    others = [cost[row] for route, cost in costs.items() if route != lead]
    return float(min(others) - costs[lead][row]) if others else np.inf


def _cheapest(costs: Mapping[str, Draw], row: int) -> str:
    return min(costs, key=lambda route: costs[route][row])


def information(case: Case, running: Mapping[str, Outcome], lead: str, names: list[str]) -> dict[str, float]:
    """Return the expected gain of knowing one input before choosing a route [USD], by input.

    E over the input of (expected cost of the route chosen now - expected cost of the best route, given the input). What
    a route costs given the input is a cubic in its score; it is fitted on half of the draws and the choice it makes is
    judged on the other half, so that an input which tells nothing gains nothing.

    Source:
        Strong, Oakley, Brennan, "Estimating multiparameter partial expected value of perfect information", Medical
        Decision Making 34(3), 2014 (regression on the draws).
    """
    above = above_lead(case, running, lead)
    halves = np.arange(case.draws.count) % 2 == 0  # draws stand in random order
    return {name: _gain(case.draws.normal(name)[:, 0], above, halves) for name in names}


def above_lead(case: Case, running: Mapping[str, Outcome], lead: str) -> Draw:
    """Return what each route costs above the leading one [routes, D]."""
    count = case.draws.count
    leading = running[lead].total_usd[:, 0]
    return np.stack([np.broadcast_to(one.total_usd[:, 0] - leading, (count,)) for one in running.values()])


def _gain(score: Draw, above: Draw, halves: Draw) -> float:
    terms = np.vander(score, 4)
    saved = np.zeros(len(score))
    for part in (halves, ~np.asarray(halves, dtype=bool)):
        if part.sum() < 8:
            return 0.0
        fitted, *_ = np.linalg.lstsq(terms[part], above[:, part].T, rcond=None)
        rest = ~np.asarray(part, dtype=bool)
        chosen = np.argmin(terms[rest] @ fitted, axis=1)
        saved[rest] = -above[:, rest][chosen, np.arange(int(rest.sum()))]
    gain, noise = float(saved.mean()), float(saved.std()) / math.sqrt(len(saved))
    return gain if gain > _SURE * noise and gain > _LEAST_SWING * float(np.abs(above).mean()) else 0.0


def perfect_information(case: Case, running: Mapping[str, Outcome], lead: str) -> float:
    """Return the expected gain of knowing everything before choosing [USD]: an upper bound for any single fact."""
    return float(-above_lead(case, running, lead).min(axis=0).mean())
