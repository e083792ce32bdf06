"""What to do over the months ahead: which route, from when, how sure, and what would change it."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from steelyard.compare.scenario import Scenario
    from steelyard.decide.result import Decision


def decide(scenario: Scenario, *, as_of: date | None = None, seed: int = 0, draws: int = 1000) -> Decision:
    """Return the decision on a scenario (see `weigh.decide`); its heavy imports happen here."""
    from steelyard.decide.weigh import decide as weigh

    return weigh(scenario, as_of=as_of, seed=seed, draws=draws)
