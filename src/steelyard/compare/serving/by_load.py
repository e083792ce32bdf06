"""Latency of a fleet against its load: one simulation, with its draws, at each of several levels."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from steelyard.compare.serving.traffic import simulate_serving
from steelyard.compare.serving.traffic_question import TrafficAnswer, TrafficQuestion
from steelyard.errors import InputError

LEVELS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95)


@dataclass(frozen=True, slots=True, kw_only=True)
class LatencyByLoad:
    """The answer at each level, the least load first."""

    question: TrafficQuestion
    level_ratios: tuple[float, ...]  # of the capacity in closed form
    answers: tuple[TrafficAnswer, ...]


def latency_by_load(
    question: TrafficQuestion,
    level_ratios: Sequence[float] = LEVELS,
    *,
    progress: Callable[[int, int], None] | None = None,
) -> LatencyByLoad:
    """Return what a fleet does at each level of load.

    Args:
        question: The fleet and its requests; its own rate is not used.
        level_ratios: Shares of the capacity in closed form, ascending.
        progress: Called with how many levels are done, and of how many.

    Raises:
        InputError: No levels, or levels that do not rise; else as `simulate_serving`.
    """
    levels = tuple(level_ratios)
    if not levels or any(above <= below for below, above in pairwise(levels)):
        raise InputError(f"load levels: {list(levels)}; allowed: rising shares of the capacity")
    answers = []
    for done, level in enumerate(levels):
        if progress is not None:
            progress(done, len(levels))
        asked = dataclasses.replace(
            question, level_ratio=level, request_rate_per_s=None, concurrency=None, all_at_once=False
        )
        answers.append(simulate_serving(asked))
    return LatencyByLoad(question=question, level_ratios=levels, answers=tuple(answers))
