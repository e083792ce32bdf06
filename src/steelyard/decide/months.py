"""Each route month by month, as ranges over the draws."""

from __future__ import annotations

import numpy as np

from steelyard.compare import words
from steelyard.compare.draws import Draw
from steelyard.compare.result import RouteSummary
from steelyard.compare.routes import energy
from steelyard.compare.routes.outcome import Outcome, Unpriced, median
from steelyard.compare.view import View
from steelyard.decide import calendar
from steelyard.decide.result import RouteMonths
from steelyard.records.estimate import Estimate, estimate
from steelyard.units import SECONDS_PER_DAY


def route_months(view: View, route: str, share: float) -> RouteMonths:
    """Return one route over the horizon; what has no price has no months."""
    told = words.summary(view, route)
    found = view.chosen.get(route)
    if not isinstance(found, Outcome):
        return _without_months(told, _price_step(found))
    case = view.case
    trained_j = np.zeros((1, case.months))
    trained_j[:, 0] = 1.0
    energy_j = found.serving_energy_j + found.training.energy_j * trained_j
    grid = energy.grid_kgco2e_per_j(case)
    answers = case.requests.sum(axis=1, keepdims=True)
    return RouteMonths(
        route=route,
        option=found.option,
        in_running=not found.why_not,
        why_not=found.why_not,
        settles=_evaluation(view, route, found),
        quality=told.quality,
        to_rent_or_buy=found.to_rent_or_buy,
        first_useful_day=calendar.after(case.today, median(found.first_answer_s)).isoformat(),
        days_to_first_answer=estimate(found.first_answer_s / SECONDS_PER_DAY),
        upfront_usd=told.upfront_usd,
        total_usd=told.total_usd,
        usd_per_request=estimate(found.total_usd / answers),
        monthly_usd=told.monthly_usd,
        cumulative_usd=told.cumulative_usd,
        devices=by_month(found.devices, case.months),
        energy_j=by_month(energy_j, case.months),
        carbon_kgco2e=by_month(energy_j * grid, case.months),
        overall_probability=share,
    )


def by_month(values: Draw, months: int) -> tuple[Estimate, ...]:
    """Return the range of each month [M]."""
    table = np.broadcast_to(values, (len(values), months))
    return tuple(estimate(table[:, month]) for month in range(months))


def _without_months(told: RouteSummary, settles: str) -> RouteMonths:
    return RouteMonths(
        route=told.route,
        option=told.option,
        in_running=False,
        why_not=told.why_not,
        settles=settles,
        quality=told.quality,
        to_rent_or_buy="",
        first_useful_day="",
        days_to_first_answer=None,
        upfront_usd=None,
        total_usd=None,
        usd_per_request=None,
        monthly_usd=(),
        cumulative_usd=(),
        devices=(),
        energy_j=(),
        carbon_kgco2e=(),
        overall_probability=0.0,
    )


def _price_step(found: Unpriced | None) -> str:
    return "" if found is None or "unpriced" not in found.reason else "state its price under prices"


def _evaluation(view: View, route: str, found: Outcome) -> str:
    """Say which evaluation would settle a quality that is not known, where nothing else stands against the route."""
    if found.score.value is not None or found.misses:
        return ""
    quality = view.case.scenario.quality
    floor = "" if quality.floor is None else f", floor {quality.floor:g}"
    what = _answering(view, route, found)
    return f"evaluate {what} on {quality.scale}{floor}, and state it under quality.scores.{route}"


def _answering(view: View, route: str, found: Outcome) -> str:
    """Say which model answers on a route, whatever it is served on."""
    scenario = view.case.scenario
    if route == "serve":
        stated = scenario.routes.serve
        return (stated.model if stated else None) or scenario.model
    trained = {"hosted_finetune": "tuned", "finetune": "tuned", "pretrain": "trained"}
    if route not in trained:
        return found.option
    return f"{getattr(scenario.routes, route).model}, {trained[route]},"
