"""Limits of the user that no route may break: what is ruled out, the budget, the wait for the first answer."""

from __future__ import annotations

import dataclasses

import numpy as np

from steelyard import catalog
from steelyard.compare.case import Case
from steelyard.compare.draws import Draw
from steelyard.compare.routes.outcome import Outcome, median
from steelyard.units import format_quantity


def limited(case: Case, found: Outcome) -> Outcome:
    """Return an outcome, out of the running where it breaks a limit of the scenario."""
    broken = found.misses or _broken(case, found)
    return found if broken == found.misses else dataclasses.replace(found, misses=broken)


def _broken(case: Case, found: Outcome) -> str:
    limits = case.scenario.limits
    if found.route in limits.ruled_out:
        return f"ruled out: {limits.ruled_out[found.route]}"
    for name, draws, limit, unit in (
        ("the budget", found.total_usd, limits.budget_usd, "usd"),
        ("the time to the first answer", found.first_answer_s, limits.first_answer_s, "s"),
    ):
        if limit is not None and not _kept(draws, limit):
            return f"over {name}: {format_quantity(median(draws), unit)} of {format_quantity(limit, unit)}"
    return ""


def _kept(draws: Draw, limit: float) -> bool:
    """Tell whether a limit is kept in as many draws as a winner must be best in."""
    return float(np.mean(draws <= limit)) >= catalog.calibration("compare")["win_probability"].value
