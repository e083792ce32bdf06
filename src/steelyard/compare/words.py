"""The comparison in words: outcome, summaries of the routes, advice, what was assumed and left out."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from steelyard import arch, catalog, device, economics, inference, training
from steelyard.compare.case import Case
from steelyard.compare.result import TIE, TOO_CLOSE, BreakEven, FactorResult, RouteSummary
from steelyard.compare.routes.outcome import Outcome, median
from steelyard.compare.view import View, missing
from steelyard.records.estimate import estimate, estimates
from steelyard.records.term import Term
from steelyard.units import format_number, format_quantity

NOT_MODELLED = (
    "own fleets moving to cheaper models, devices and faster engines over the horizon; APIs move with the market",
    "interruptions of spot devices beyond one published rate and an assumed time of absence",
    "autoscaling within a month, other than as the overflow of a hybrid: fleets are sized for the peak hour",
    "several models or regions in one fleet, multi-tenancy, priority tiers of APIs, batch tiers that are not stated",
    "network egress, storage and observability bills; taxes; discounting of future money",
    "different token counts per answer: every option is taken to use the same number of tokens",
    "people that are not stated: `engineers` is 0 unless given, for the only published ratio is that of clusters of "
    "hundreds of devices, not of one deployment",
    "embodied carbon and water",
)


def outcome(view: View) -> str:
    """Say what is asked for: so many answers a month at this quality, within these limits."""
    scenario, case = view.case.scenario, view.case
    first, last = median(case.requests[:, 0]), median(case.requests[:, -1])
    objective = case.objective
    limits = [
        f"{name} within {format_quantity(limit, 's')} at p{percentile:g}"
        for name, limit, percentile in (
            ("TTFT", objective.ttft_s, objective.ttft_percentile),
            ("TPOT", objective.tpot_s, objective.tpot_percentile),
        )
        if np.isfinite(limit)
    ]
    floor = scenario.quality.floor
    quality = f"at {scenario.quality.scale} of at least {floor:g}" if floor is not None else "at any quality"
    parts = [
        f"{format_quantity(first, 'request')} a month, {format_quantity(last, 'request')} in month {case.months}",
        f"{case.lengths.mean_isl_tokens:,.0f} tokens in and {case.lengths.mean_osl_tokens:,.0f} out on average",
        quality,
        *limits,
    ]
    stands = f"Inference stands for {view.inference.route}: {view.inference.option}; training for one run of"
    return f"{', '.join(parts)}; over {months(case)} in {scenario.region}. {stands} {view.training.description}."


def months(case: Case) -> str:
    return f"{case.months} month{'s' if case.months > 1 else ''}"


def summary(view: View, route: str) -> RouteSummary:
    """Return what one route costs now and later, and what it makes the user rent or buy."""
    found = view.chosen.get(route)
    scale = view.case.scenario.quality.scale
    if not isinstance(found, Outcome):
        reason = "not considered" if found is None else found.reason
        return RouteSummary(
            route=route,
            option="" if found is None else found.option,
            in_running=False,
            why_not=reason,
            first_month_usd=None,
            in_a_year_usd=None,
            last_month_usd=None,
            upfront_usd=None,
            total_usd=None,
            monthly_usd=(),
            cumulative_usd=(),
            devices_first=None,
            devices_last=None,
            to_rent_or_buy="",
            quality=missing(f"quality ({scale})", "point", reason) if found is None else found.score.quantity(scale),
        )
    return RouteSummary(
        route=route,
        option=found.option,
        in_running=not found.why_not,
        why_not=found.why_not,
        first_month_usd=estimate(found.monthly_usd[:, 0]),
        in_a_year_usd=estimate(found.monthly_usd[:, min(11, view.case.months - 1)]),
        last_month_usd=estimate(found.monthly_usd[:, -1]),
        upfront_usd=estimate(found.upfront_usd),
        total_usd=estimate(found.total_usd),
        monthly_usd=estimates(found.monthly_usd),
        cumulative_usd=estimates(found.upfront_usd + found.monthly_usd.cumsum(axis=1)),
        devices_first=estimate(found.devices[:, 0]),
        devices_last=estimate(found.devices[:, -1]),
        to_rent_or_buy=found.to_rent_or_buy,
        quality=found.score.quantity(scale),
    )


def advice(view: View, even: BreakEven, factors: tuple[FactorResult, ...]) -> str:
    """Say which way to go and from which load on."""
    running = view.running()
    if not running:
        reasons = "; ".join(f"{name}: {found.why_not}" for name, found in view.priced().items())
        unscored = [name for name, found in view.priced().items() if not found.misses and found.score.value is None]
        step = f" State a score of {', '.join(unscored)} under quality.scores." if unscored else ""
        return f"No route can be recommended ({reasons}).{step}"
    cost = next(factor for factor in factors if factor.id == "compute_cost").route_verdict
    ranked = sorted(running, key=lambda name: (name != cost.winner, median(running[name].total_usd)))
    best = running[ranked[0]]
    total = format_quantity(median(best.total_usd), "usd")
    if cost.winner in (TOO_CLOSE, TIE):
        lowest = f"Lowest at the median: {ranked[0]} ({best.option}), {total} in all."
        lead = f"{cost.winner.capitalize()} on cost: {cost.because}. {lowest}"
    else:
        sure = "" if cost.probability is None else f", cheapest in {_share_of_draws(cost.probability)}"
        lead = f"Go with {ranked[0]} ({best.option}): {total} over {months(view.case)}{sure}."
    second = ""
    if len(ranked) > 1 and cost.winner in running:
        other = running[ranked[1]]
        cheapest = median(best.total_usd)
        times = f" at {format_number(median(other.total_usd) / cheapest, 2)} times the cost" if cheapest > 0 else ""
        second = f" Next is {ranked[1]} ({other.option}){times}."
    return lead + second + _when(even) + _excluded(view)


def _share_of_draws(share: float) -> str:
    if share == 1.0:
        return "every draw"
    return "over 99% of draws" if share >= 0.995 else f"{share:.0%} of draws"


def _when(even: BreakEven) -> str:
    """Say at which load the cheapest route changes, and when the stated demand gets there."""
    later = [segment for segment in even.segments if segment.from_requests_per_month > even.stated_requests_per_month]
    if not later:
        return " No larger load that was looked at changes that."
    load = later[0].from_requests_per_month
    times = load / even.stated_requests_per_month
    return (
        f" From {format_quantity(load, 'request')} in the first month on ({format_number(times, 2)} times yours, "
        "growth as "
        f"stated) {later[0].route} is cheapest."
    )


def _excluded(view: View) -> str:
    cheapest = min((median(found.total_usd) for found in view.running().values()), default=0.0)
    out = [
        f"{name} ({found.why_not})"
        for name, found in view.priced().items()
        if found.why_not and median(found.total_usd) < cheapest
    ]
    return f" Cheaper but out of the running: {', '.join(out)}." if out else ""


def assumptions(view: View) -> tuple[str, ...]:
    """Return what the numbers rest on, stated or assumed, each in one sentence."""
    case = view.case
    figures = catalog.calibration("compare")
    fall, rent = economics.price_decline(), figures["rental_price_year"]
    return (
        f"Request lengths: {case.lengths.label}; peak hour {case.peak_to_mean_ratio:.2g} times the mean; every option "
        "uses the same number of tokens per answer.",
        f"Prices as of {case.today}. After a year an API of this quality costs {fall.forward_ratio:.2g} "
        f"({fall.forward_low_ratio:.2g} to {fall.forward_high_ratio:.2g}) times today's price, as in the dated history "
        f"of a fixed capability, and no longer than {economics.RECENT_YEARS:g} years; a contract keeps its price. "
        f"An on-demand rental costs {rent.value:g} ({rent.low:g} to {rent.high:g}) times, a commitment the same.",
        "Reserved and owned devices are paid for the whole horizon from the month they are needed, a commitment longer "
        "than the horizon to its end; owned ones come by the whole server.",
        "The horizon counts from each route's first answer; the time to it is assumed by route (see --explain "
        "time_to_value), and an owned training cluster is taken to have other work beside the run.",
        "Energy and latency of APIs are published figures of other models, energy scaled by tokens; those of your own "
        "fleet are predicted, at full load.",
        f"A winner is best in at least {figures['win_probability'].value:.0%} of {case.draws.count} paired draws of "
        "prices, growth, prediction errors, failures and energy (seeded).",
        f"Training stands for one final run: {view.training.description}; R&D around it is a stated multiplier.",
        *_nobody_charged(case),
        *dict.fromkeys(f"Price of {text}." for found in view.priced().values() for text in found.assumed),
    )


def _nobody_charged(case: Case) -> tuple[str, ...]:
    """Name the routes of the scenario that need people and state none."""
    routes = case.scenario.routes
    stated = {name: getattr(routes, name) for name in ("hosted_finetune", "serve", "finetune", "pretrain")}
    free = [name for name, route in stated.items() if route is not None and route.engineers == 0]
    if not free:
        return ()
    return (f"No people are charged to {', '.join(free)}, as none are stated; state `routes.{free[0]}.engineers`.",)


def not_modelled() -> tuple[str, ...]:
    """Return what the comparison and each part of the physics leave out, one line a part."""
    parts = {
        "comparison": NOT_MODELLED,
        "models": arch.NOT_MODELLED,
        "devices": device.NOT_MODELLED,
        "training": training.NOT_MODELLED,
        "serving": inference.NOT_MODELLED,
        "prices": economics.NOT_MODELLED,
    }
    return tuple(f"{name}: {'; '.join(items)}" for name, items in parts.items())


def warnings(view: View) -> tuple[str, ...]:
    """Return what a careful reader would want to be told beside the result."""
    found = [note for chosen in view.priced().values() for note in chosen.notes]
    return tuple(dict.fromkeys([*found, view.odd] if view.odd else found))


def sources(view: View, trees: Iterable[Term]) -> tuple[str, ...]:
    """Return the ids of the catalogue sources behind the options shown and the trees that explain them."""
    priced = view.priced().values()
    texts = [source for found in priced for source in found.sources]
    texts += [found.score.note.split(",")[0] for found in priced if found.score.evidence == "cited"]
    texts += [node.source.split(" (")[0] for tree in trees for node in tree.walk() if node.source]
    texts += [row.source for table in ("api_latency", "failures") for row in catalog.table(table).rows]
    texts += [figure.source for figure in view.case.workload.figures.values()]
    ids = {part.strip() for text in texts for part in text.split(" + ")}
    return tuple(sorted(found for found in ids if found in catalog.sources()))
