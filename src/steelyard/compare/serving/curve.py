"""What a deployment gives each user as more of them come: the curve that one prediction is a point of."""

from __future__ import annotations

from dataclasses import dataclass

from steelyard.compare.serving.predict import ServingPrediction
from steelyard.records.estimate import Estimate, estimate


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadPoint:
    """A closed loop of so many users; speeds are medians with their ranges [tokens/s]."""

    users: int
    of_a_user: Estimate
    of_a_device: Estimate
    ttft_s: float


def load_curve(found: ServingPrediction) -> tuple[LoadPoint, ...]:
    """Return the points at 1, 2, 4, ... users up to what the memory and the engine hold.

    Empty where nothing fits, and where answers of one token leave a user without a speed.
    """
    if found.drawn is None or found.median is None or not found.has_tpot:
        return ()
    most = max(1, int(found.median.places_count))
    counts = sorted({2**power for power in range(most.bit_length())} | {most})
    return tuple(_point(found, users) for users in counts)


def _point(found: ServingPrediction, users: int) -> LoadPoint:
    reached = found.question.met(users=users, request_rate_per_s=None, time_ratio=found.time_ratio)
    return LoadPoint(
        users=users,
        of_a_user=estimate(1.0 / reached.tpot_s),
        of_a_device=estimate(reached.output_tokens_per_s_per_device),
        ttft_s=estimate(reached.ttft_s).p50,
    )
