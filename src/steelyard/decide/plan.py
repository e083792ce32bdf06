"""The plan: one route throughout, or two and the month to change over, whichever costs least at the median."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from steelyard.compare.case import Case
from steelyard.compare.draws import Draw
from steelyard.compare.routes.outcome import Outcome, median
from steelyard.decide import calendar
from steelyard.decide.options import rows_of
from steelyard.decide.result import Plan, Step
from steelyard.records.estimate import Estimate, estimate
from steelyard.units import DAYS_PER_MONTH, SECONDS_PER_MONTH, format_quantity

LEAST_SAVING_RATIO = 0.01  # of the cost, for a change to be worth its trouble
HALF = 0.5


@dataclass(frozen=True, kw_only=True)
class Change:
    """From one route to another: what it costs in all, by the month of the change [D, M]."""

    first: str
    second: str
    totals_usd: Draw  # infinity in months before the second can be ready
    month: int  # of least median cost


def make_plan(case: Case, running: Mapping[str, Outcome], lead: str) -> Plan:
    """Return what to do: stay with the route that leads, or start with one and change to another.

    A change pays what the first route still owes, and all that the second costs before its first answer; it cannot come
    before the second can be ready. Its month is that of the least median cost, one for all draws.
    """
    if not lead:
        return Plan(
            steps=(),
            total_usd=None,
            saves_usd=None,
            change_month=None,
            change_probability=0.0,
            change_requests_per_day=None,
            sentence="No route keeps the floor and the objective.",
        )
    stay = running[lead].total_usd[:, 0] * np.ones(case.draws.count)
    best = _best_change(case, running)
    if best is not None:
        saved = stay - best.totals_usd[:, best.month]
        worth = np.median(saved) > LEAST_SAVING_RATIO * np.median(stay) and (saved > 0).mean() >= HALF
        if worth:
            return _changing(case, running, best, saved)
    return _staying(case, running, lead, stay)


def _staying(case: Case, running: Mapping[str, Outcome], lead: str, stay: Draw) -> Plan:
    """Return the plan of one route; a hybrid's own change is the month in which it starts its fleet."""
    found = running[lead]
    steps = (_step(case, running, lead, 0),)
    if found.spilled_ratio is None or found.autoscales or median(found.devices[:, :1]) > 0:
        sentence = f"{_named(running, lead)} over all {case.months} months"
        return _plan(steps, sentence, stay, None, None)
    first = np.where(found.devices > 0, np.arange(case.months), case.months).min(axis=1).astype(np.float64)
    at = _taking_over(case, first)
    sentence = f"{_named(running, lead)}: all answers from the API until {at.text}, then a fleet for the base load"
    return _plan(steps, sentence, stay, None, at)


@dataclass(frozen=True, kw_only=True)
class _Takeover:
    """When something takes over, over the draws."""

    month: Estimate
    probability: float
    load: Estimate | None
    text: str


def _taking_over(case: Case, months: Draw, expected: float | None = None) -> _Takeover:
    """Return when something takes over: months [D], the horizon or later where it never does."""
    comes = months < case.months
    month = estimate(np.where(comes, months, np.inf))
    at = np.minimum(months, case.months - 1).astype(np.int64)
    per_day = case.requests[np.arange(len(at)), at] / DAYS_PER_MONTH
    load = estimate(per_day[comes]) if comes.any() else None
    reached = "" if load is None else f" at about {format_quantity(load.p50, 'request')} a day"
    early, late = _month_text(case, month.p10), _month_text(case, month.p90)
    when = _month_text(case, month.p50 if expected is None else expected)
    text = f"{when}{reached} (p10 to p90: {early} to {late}; it pays in {comes.mean():.0%} of draws)"
    return _Takeover(month=month, probability=float(comes.mean()), load=load, text=text)


def _plan(
    steps: tuple[Step, ...], sentence: str, total_usd: Draw, saved_usd: Draw | None, at: _Takeover | None
) -> Plan:
    return Plan(
        steps=steps,
        total_usd=estimate(total_usd),
        saves_usd=None if saved_usd is None else estimate(saved_usd),
        change_month=None if at is None else at.month,
        change_probability=0.0 if at is None else at.probability,
        change_requests_per_day=None if at is None else at.load,
        sentence=sentence,
    )


def change(case: Case, running: Mapping[str, Outcome], first: str, second: str) -> Change:
    """Return what changing from one route to another costs, by the month in which the second takes over."""
    one, other = running[first], running[second]
    count, months = case.draws.count, case.months
    until = np.pad(rows_of(one.through_usd, count)[:, :-1], ((0, 0), (1, 0)))
    until[:, 0] = 0.0  # never begun
    later = np.cumsum(rows_of(other.monthly_usd, count)[:, ::-1], axis=1)[:, ::-1]
    totals = until + other.upfront_usd + later + other.left_over_usd
    ready = min(math.ceil(median(other.first_answer_s) / SECONDS_PER_MONTH), months)
    totals[:, : max(ready, 1)] = np.inf
    return Change(first=first, second=second, totals_usd=totals, month=int(np.argmin(np.median(totals, axis=0))))


def _best_change(case: Case, running: Mapping[str, Outcome]) -> Change | None:
    pairs = [change(case, running, first, second) for first in running for second in running if first != second]
    pairs = [one for one in pairs if np.isfinite(one.totals_usd[:, one.month]).all()]
    return min(pairs, key=lambda one: float(np.median(one.totals_usd[:, one.month])), default=None)


def _changing(case: Case, running: Mapping[str, Outcome], best: Change, saved: Draw) -> Plan:
    never = running[best.first].total_usd * np.ones((case.draws.count, 1))
    months = np.argmin(np.hstack([best.totals_usd, never]), axis=1).astype(np.float64)
    at = _taking_over(case, months, best.month)
    steps = (_step(case, running, best.first, 0), _step(case, running, best.second, best.month))
    sentence = f"{_named(running, best.first)} until {at.text}, then {_named(running, best.second)}"
    return _plan(steps, sentence, best.totals_usd[:, best.month], saved, at)


def _month_text(case: Case, month: float) -> str:
    if not np.isfinite(month):
        return "later than the horizon"
    return calendar.in_words(calendar.month_date(case.today, round(month)))


def _named(running: Mapping[str, Outcome], route: str) -> str:
    return f"{route} ({running[route].option})"


def _step(case: Case, running: Mapping[str, Outcome], route: str, month: int) -> Step:
    start = calendar.month_date(case.today, month)
    lead_s = median(running[route].first_answer_s)
    return Step(
        route=route,
        option=running[route].option,
        from_month=month,
        from_date=start.isoformat(),
        set_up_by=calendar.after(start, -lead_s).isoformat() if month else "",
    )
