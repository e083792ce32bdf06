"""The advice in words: the plan, how sure it is, what it hangs on, and the next fact to get."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from steelyard.compare.result import TIE, TOO_CLOSE
from steelyard.compare.routes.outcome import Outcome, median
from steelyard.compare.view import View
from steelyard.decide.result import NOBODY, Influence, Odds, Plan, RouteMonths
from steelyard.units import format_number, format_quantity

THREE = 3


def advice(view: View, verdict: Odds, plan: Plan) -> str:
    """Return what to do in some sentences."""
    running = view.running()
    if not plan.steps:
        reasons = "; ".join(f"{name}: {found.why_not}" for name, found in view.priced().items())
        return f"No route can be recommended ({reasons})."
    total = format_quantity(median(running[plan.steps[0].route].total_usd), "usd")
    if plan.total_usd is not None:
        total = format_quantity(plan.total_usd.p50, "usd")
    text = f"Go with {plan.sentence}: {total} in all. {_sure(verdict)}"
    if plan.saves_usd is not None:
        late = f" Begin to set it up by {plan.steps[-1].set_up_by}." if plan.steps[-1].set_up_by else ""
        text += f" The change saves {format_quantity(plan.saves_usd.p50, 'usd')} at the median.{late}"
    return text + _runner_up(running) + _cheaper_but_out(view)


def _sure(verdict: Odds) -> str:
    ranked = sorted(verdict.shares.items(), key=lambda item: -item[1])
    shares = ", ".join(f"{name} {_share(share)}" for name, share in ranked if share >= 0.005)
    if verdict.winner in (TOO_CLOSE, TIE):
        return f"{verdict.winner.capitalize()} between single routes: cheapest in share of draws: {shares}."
    best = ranked[0][1] if ranked and ranked[0][0] != NOBODY else 0.0
    return f"Among single routes {verdict.winner} is the one to choose in {_share(best)} of draws."


def _share(share: float) -> str:
    return "over 99%" if share > 0.99 else f"{share:.0%}"


def _runner_up(running: Mapping[str, Outcome]) -> str:
    ranked = sorted(running, key=lambda name: median(running[name].total_usd))
    if len(ranked) < 2 or median(running[ranked[0]].total_usd) <= 0:
        return ""
    times = median(running[ranked[1]].total_usd) / median(running[ranked[0]].total_usd)
    return f" Next is {ranked[1]} at {format_number(times, 2)} times the cost of {ranked[0]}."


def _cheaper_but_out(view: View) -> str:
    cheapest = min((median(found.total_usd) for found in view.running().values()), default=np.inf)
    out = [
        f"{name} ({found.why_not})"
        for name, found in view.priced().items()
        if found.why_not and median(found.total_usd) < cheapest
    ]
    return f" Cheaper but out of the running: {', '.join(out)}." if out else ""


def hangs_on(influences: Sequence[Influence], lead: str) -> tuple[str, ...]:
    """Return the three assumptions that the choice hangs on most, and what their ends would change."""
    found = []
    for one in influences[:THREE]:
        low, high = format_quantity(one.low_usd, "usd"), format_quantity(one.high_usd, "usd")
        if one.flips:
            change = f"{one.winner_low} is cheapest at its low end, {one.winner_high} at its high end"
        elif one.low_usd == one.high_usd:
            change = f"it moves only the other routes, and {lead} stays cheapest"
        else:
            change = f"{lead} costs {low} at its low end, {high} at its high end, and stays cheapest"
        found.append(f"{one.label}: {change}")
    return tuple(found)


def next_fact(routes: Sequence[RouteMonths], influences: Sequence[Influence], lead: str) -> str:
    """Return the single fact to get next: an evaluation that would open a cheaper route, else the input worth most."""
    cost = {item.route: item.total_usd.p50 for item in routes if item.total_usd is not None}
    least = cost.get(lead, np.inf)
    closed = [item for item in routes if item.settles and cost.get(item.route, np.inf) < least]
    best = max(influences, key=lambda one: one.worth_usd, default=None)
    if closed:
        item = min(closed, key=lambda one: cost[one.route])
        saves = "" if not np.isfinite(least) else f": it would save {format_quantity(least - cost[item.route], 'usd')}"
        return f"{item.settles}{saves} if it passes"
    if best is None:
        return "nothing uncertain changes the choice"
    if best.worth_usd > 0:
        gain = format_quantity(best.worth_usd, "usd")
        return f"{best.label}: {best.how} (knowing it before choosing is worth {gain} on average)"
    return f"no single fact would change the choice; {influences[0].label} moves its cost most: {influences[0].how}"
