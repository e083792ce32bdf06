"""People: stated head-counts at a stated or published salary."""

from __future__ import annotations

from steelyard import economics
from steelyard.compare.case import Case
from steelyard.compare.draws import Draw
from steelyard.records.term import Term, figure_term
from steelyard.units import SECONDS_PER_MONTH


def engineer_usd_per_month(case: Case) -> Draw:
    """Return the loaded cost of one engineer: as stated, else a published median salary with overhead."""
    return case.once(("engineer",), lambda: case.stated(_usd_per_s(case)) * SECONDS_PER_MONTH)


def people_terms(case: Case, engineers: float) -> tuple[Term, Term]:
    """Return the terms behind the cost of people: how many, and what one costs."""
    count = Term(label="engineers, full time", value=engineers, unit="person", source="stated in the scenario")
    if case.scenario.prices.engineer_usd_per_s is not None:
        told = Term(label="an engineer", value=_usd_per_s(case), unit="usd_per_s", source="stated in the scenario")
        return count, told
    salary, loading = economics.engineer_figures()
    return count, Term(
        label="an engineer, loaded",
        value=salary.value * loading.value,
        unit="usd_per_s",
        formula="salary x loaded cost over salary",
        children=(figure_term("salary", salary), figure_term("loaded cost over salary", loading)),
    )


def _usd_per_s(case: Case) -> float:
    stated = case.scenario.prices.engineer_usd_per_s
    return economics.engineer_usd_per_s() if stated is None else stated
