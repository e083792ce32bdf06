"""The seven factors, one file each; a new factor is one file and one line here."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from steelyard.compare.factors import (
    compute_cost,
    enterprise_relevance,
    hardware_requirements,
    optimisation_goals,
    purpose,
    scalability,
    time_to_value,
)
from steelyard.compare.result import FactorResult
from steelyard.compare.view import View

FACTORS: Mapping[str, Callable[[View], FactorResult]] = {
    "purpose": purpose.weigh,
    "compute_cost": compute_cost.weigh,
    "time_to_value": time_to_value.weigh,
    "hardware_requirements": hardware_requirements.weigh,
    "enterprise_relevance": enterprise_relevance.weigh,
    "scalability": scalability.weigh,
    "optimisation_goals": optimisation_goals.weigh,
}
