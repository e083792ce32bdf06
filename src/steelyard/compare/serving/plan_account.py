"""Why a device is among the answers of a search or not: its layouts counted by what stands against them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from steelyard.records.workload import Objective
from steelyard.units import format_number, format_quantity

TOO_MANY = "needs more devices than allowed"
MISSED = "misses the objective"
NOT_SIMULATED = "bounded below what was simulated"
NO_FIT = "does not fit"
NO_FIGURE = "lacks a figure"
NO_START = "not started by the engine"
REASONS = (TOO_MANY, MISSED, NOT_SIMULATED, NO_FIT, NO_FIGURE, NO_START)  # those that came nearest to an answer first


@dataclass(frozen=True, slots=True, kw_only=True)
class Loss:
    """One layout that is no answer."""

    device_id: str
    reason: str  # of `REASONS`
    told: str
    over_ratio: float = 1.0  # what it takes over what is allowed: of several with one reason the least is the nearest


@dataclass(frozen=True, slots=True, kw_only=True)
class Against:
    """What stands against some layouts of a device, told of the one nearest to being an answer."""

    reason: str
    count: int
    nearest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceAccount:
    """What came of the layouts of one device; answers and losses add up to all that were looked at."""

    device_id: str
    num_layouts: int
    num_answers: int
    against: tuple[Against, ...]  # in the order of `REASONS`
    unpriced: str = ""  # why it has no price


def account(
    device_id: str, losses: Iterable[Loss], *, num_answers: int = 0, unpriced: Mapping[str, str] | None = None
) -> DeviceAccount:
    """Return what came of a device, from all that was lost in a search.

    Example:
        >>> lost = [Loss(device_id="t4", reason=NO_FIT, told=f"tp{tp}", over_ratio=8 / tp) for tp in (1, 2, 4)]
        >>> account("t4", lost).against
        (Against(reason='does not fit', count=3, nearest='tp4'),)
    """
    mine = [loss for loss in losses if loss.device_id == device_id]
    against = []
    for reason in REASONS:
        if lost := [loss for loss in mine if loss.reason == reason]:
            nearest = min(lost, key=lambda one: one.over_ratio).told
            against.append(Against(reason=reason, count=len(lost), nearest=nearest))
    return DeviceAccount(
        device_id=device_id,
        num_layouts=num_answers + len(mine),
        num_answers=num_answers,
        against=tuple(against),
        unpriced=(unpriced or {}).get(device_id, ""),
    )


def missed_by(objective: Objective, *, ttft_s: float, tpot_s: float) -> tuple[float, str]:
    """Return how many times its limit the worse of two times is, and in words each that is beyond its own.

    A TPOT that is NaN, of answers of one token, is none.

    Example:
        >>> missed_by(Objective(ttft_s=1.0, tpot_s=0.02), ttft_s=0.5, tpot_s=0.03)
        (1.5, 'TPOT p95 is 30 ms, 1.5 times the 20 ms asked')
    """
    asked = (
        ("TTFT", objective.ttft_percentile, ttft_s, objective.ttft_s),
        ("TPOT", objective.tpot_percentile, tpot_s, objective.tpot_s),
    )
    parts = [
        f"{name} p{percentile:g} is {format_quantity(reached, 's')}, {format_number(reached / limit)} times the "
        f"{format_quantity(limit, 's')} asked"
        for name, percentile, reached, limit in asked
        if reached > limit
    ]
    times = max(reached / limit for _, _, reached, limit in asked if not math.isnan(reached))
    return times, "; ".join(parts) or "falls behind at every rate that was tried"
