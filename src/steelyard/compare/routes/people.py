"""People: stated head-counts at a stated or published salary."""

from __future__ import annotations

from steelyard import economics
from steelyard.compare.case import Case
from steelyard.compare.draws import Draw
from steelyard.units import SECONDS_PER_MONTH


def engineer_usd_per_month(case: Case) -> Draw:
    """Return the loaded cost of one engineer: as stated, else a published median salary with overhead."""
    return case.once(("engineer",), lambda: case.stated(_usd_per_s(case)) * SECONDS_PER_MONTH)


def _usd_per_s(case: Case) -> float:
    stated = case.scenario.prices.engineer_usd_per_s
    return economics.engineer_usd_per_s() if stated is None else stated
