"""The whole decision: from a scenario to months, odds, break-evens, influences, plan and advice."""

from __future__ import annotations

import hashlib
from datetime import date

from steelyard.catalog import files
from steelyard.compare import words
from steelyard.compare.case import Case, build_case
from steelyard.compare.factors import FACTORS
from steelyard.compare.result import ROUTES, FactorResult
from steelyard.compare.routes.outcome import Outcome, median
from steelyard.compare.scenario import Scenario
from steelyard.compare.view import View
from steelyard.compare.weigh import look
from steelyard.decide import calendar, crossings
from steelyard.decide.advice import advice, hangs_on, next_fact
from steelyard.decide.influence import influences, perfect_information
from steelyard.decide.loads import cheapest_map, load_costs, load_crossings
from steelyard.decide.months import by_month, route_months
from steelyard.decide.plan import make_plan
from steelyard.decide.relevance import relevance
from steelyard.decide.result import NOBODY, Crossing, Decision, Odds
from steelyard.decide.standing import overall, standing_costs
from steelyard.records.term import Term
from steelyard.units import DAYS_PER_MONTH


def decide(scenario: Scenario, *, as_of: date | None = None, seed: int = 0, draws: int = 1000) -> Decision:
    """Return what to do over the horizon of a scenario, from when, how sure it is, and what would change it.

    Args:
        scenario: As for `compare`; its own `draws` and `seed` give way to these.
        as_of: Day whose prices count, and on which the horizon begins; the scenario's, else the newest prices'.
        seed: Of the draws.
        draws: Draws of every uncertain input.

    Raises:
        InputError: No route can be priced; too many draws for the horizon.
    """
    day = as_of or build_case(scenario).today
    stated = scenario.to_dict() | {"draws": draws, "seed": seed, "as_of": day.isoformat()}
    scenario = Scenario.model_validate(stated).model_copy(update={"base_dir": scenario.base_dir})
    case = build_case(scenario, simulated=True)
    view = look(case)
    running = view.running()
    costs = standing_costs(case, running)
    verdict = overall(costs)
    lead = min(running, key=lambda name: median(running[name].total_usd), default="")
    plan = make_plan(case, running, lead)
    moved = influences(case, running, lead) if lead else ()
    factors = tuple(weigh(view) for weigh in FACTORS.values())
    routes = tuple(route_months(view, route, verdict.shares.get(route, 0.0)) for route in ROUTES)
    at_loads = load_costs(case, view.able)
    return Decision(
        title=scenario.name,
        outcome=words.outcome(view),
        advice=advice(view, verdict, plan),
        verdict=verdict,
        plan=plan,
        assumptions=hangs_on(moved, lead),
        next_fact=next_fact(routes, moved, lead),
        routes=routes,
        month_dates=tuple(calendar.month_date(case.today, month).isoformat() for month in range(case.months)),
        requests_per_day=by_month(case.requests / DAYS_PER_MONTH, case.months),
        odds=tuple(_odds(factor) for factor in factors),
        factors=factors,
        crossings=(*load_crossings(at_loads), *_crossings(case, view, lead)),
        cheapest=cheapest_map(at_loads),
        relevance=tuple(relevance(found) for found in view.priced().values()),
        influences=moved,
        perfect_information_usd=perfect_information(case, running, lead) if lead else 0.0,
        explained=_explained(view),
        also_assumed=words.assumptions(view),
        not_modelled=words.not_modelled(),
        warnings=words.warnings(view),
        sources=words.sources(view, [factor.tree for factor in factors]),
        as_of=case.today.isoformat(),
        seed=seed,
        draws=draws,
        catalogue=fingerprint(),
        inputs=scenario.to_dict(),
    )


def _odds(factor: FactorResult) -> Odds:
    verdict = factor.route_verdict
    return Odds(
        id=factor.id,
        title=factor.title,
        criterion=verdict.criterion,
        winner=verdict.winner,
        shares=verdict.shares or {NOBODY: 1.0},
    )


def _crossings(case: Case, view: View, lead: str) -> list[Crossing]:
    """Return the crossings in date, API price and utilisation; routes that only lack a score are looked at too."""
    found = {name: one for name, one in view.priced().items() if not one.misses}
    results: list[Crossing] = []
    if lead:
        results += [crossings.payback(case, found, lead, name) for name in found if name != lead]
    if crossings.API in found:
        for name in found:
            if name in (crossings.API, "hybrid"):
                continue
            results.append(crossings.api_price(case, found, name))
            results += crossings.utilisation(case, found, name)
            results += crossings.device_rent(case, found, name)
    return results


def _explained(view: View) -> Term:
    trees = tuple(found.tree() for found in view.explained.priced().values() if isinstance(found, Outcome))
    return Term(label="total cost of each route over the horizon (median case)", value="", children=trees)


def fingerprint() -> str:
    """Return the fingerprint of all figures in use: the shipped catalogue's and the user's own."""
    digest = hashlib.sha256()
    for root, _ in files.roots(files.overlay()):
        for path in sorted(root.rglob("*")):
            if path.suffix in (".csv", ".toml"):
                digest.update(path.relative_to(root).as_posix().encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:16]
