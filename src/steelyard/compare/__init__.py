"""Weighs inference against training and the routes against each other, factor by factor."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from steelyard.compare.result import Comparison
    from steelyard.compare.scenario import Scenario


def compare(scenario: Scenario) -> Comparison:
    """Return the whole comparison of a scenario (see `weigh.compare`); its heavy imports happen here."""
    from steelyard.compare.weigh import compare as weigh

    return weigh(scenario)
