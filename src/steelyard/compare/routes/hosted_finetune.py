"""Route `hosted_finetune`: a provider tunes an open model and serves it, by the token or on dedicated devices."""

from __future__ import annotations

import dataclasses
from functools import partial

import numpy as np

from steelyard import arch, economics
from steelyard.compare.case import Case
from steelyard.compare.routes.api import api_latency, misses_objective, request_energy, serving_flop, usage_of
from steelyard.compare.routes.device_price import DevicePrice
from steelyard.compare.routes.outcome import Outcome, Training, Unpriced, median, nothing
from steelyard.compare.routes.people import engineer_usd_per_month
from steelyard.compare.routes.replica import find_replicas
from steelyard.compare.routes.serve import fleet
from steelyard.compare.routes.trained import failed
from steelyard.compare.routes.training_leg import in_months, refresh_months
from steelyard.compare.scenario import HostedFinetuneRoute, ServeRoute
from steelyard.errors import DoesNotFitError, UnknownError
from steelyard.records.term import Term, figure_term
from steelyard.units import SECONDS_PER_MONTH

NAME = "hosted_finetune"


def evaluate(case: Case) -> list[Outcome | Unpriced]:
    route = case.scenario.routes.hosted_finetune
    if not route:
        return []
    option = f"{route.provider}: {route.model}, {route.method}"
    try:
        params = arch.count_params(case.model(route.model)).total_params
        offer = economics.hosted_finetuning(route.provider, params, route.method, base_model=route.model)
        by_token = offer.serve_input and offer.serve_output
        ways = [_by_token(case, offer)] if by_token else _dedicated(case, route, offer)
    except (DoesNotFitError, UnknownError) as error:
        return [failed(case, NAME, option, str(error))]
    return [
        dataclasses.replace(_with_training(case, route, offer, served), option=f"{option}; {served.option}")
        for served in ways
    ]


def _with_training(
    case: Case, route: HostedFinetuneRoute, offer: economics.HostedFinetuning, served: Outcome
) -> Outcome:
    once = float(economics.training_cost_usd(route.training_tokens, offer)) * route.runs
    refreshes = refresh_months(case, route.refresh_months)
    repeats = in_months(case, np.full((1, 1), once + route.each_time_usd), refreshes)
    setup_s = case.assumed("setup_hosted_finetune")
    people = route.engineers * engineer_usd_per_month(case)
    upfront = once + route.each_time_usd + people * setup_s / SECONDS_PER_MONTH
    monthly = served.monthly_usd + repeats + people

    def tree() -> Term:
        return Term(
            label=NAME,
            value=median(upfront + monthly.sum(axis=1, keepdims=True)),
            unit="usd",
            formula="training tokens x price x runs + data + refreshes + serving + people",
            children=(
                Term(
                    label="training, once",
                    value=float(once),
                    unit="usd",
                    formula="tokens x price x runs",
                    children=(figure_term("price of training", offer.training),) if offer.training else (),
                ),
                Term(label="data and people before the first answer", value=median(upfront) - float(once), unit="usd"),
                Term(label="refreshes", value=median(repeats.sum(axis=1)), unit="usd"),
                Term(label="people while serving", value=median(people) * case.months, unit="usd"),
                served.tree(),
            ),
        )

    leg = Training(usd=upfront, refresh_usd=repeats.sum(axis=1, keepdims=True), note="on the provider's devices")
    return dataclasses.replace(
        served,
        monthly_usd=monthly,
        people_usd=people * np.ones((1, case.months)),
        upfront_usd=upfront,
        first_answer_s=setup_s,
        training=leg,
        tree=tree,
        notes=(*served.notes, *offer.warnings()),
    )


def _by_token(case: Case, offer: economics.HostedFinetuning) -> Outcome:
    price_in, price_out = offer.serve_input, offer.serve_output
    assert price_in is not None
    assert price_out is not None
    usage, latency = usage_of(case, case.requests), api_latency(case)
    tokens_in = np.asarray(usage.input_tokens) + np.asarray(usage.cached_input_tokens)
    monthly = tokens_in * price_in.value + np.asarray(usage.output_tokens) * price_out.value
    monthly = monthly * case.api_price_ratio
    return Outcome(
        route=NAME,
        option="served by the token",
        score=case.score(NAME),
        monthly_usd=monthly,
        upfront_usd=np.zeros((1, 1)),
        devices=np.zeros((1, case.months)),
        serving_energy_j=case.requests * request_energy(case),
        serving_flop=serving_flop(case, case.requests),
        first_answer_s=case.assumed("setup_hosted_finetune"),
        latency=latency,
        misses=misses_objective(case, latency),
        held=nothing,
        tree=lambda: Term(
            label="tokens",
            value=median(monthly.sum(axis=1)),
            unit="usd",
            formula="tokens x price of the tuned model",
            children=(figure_term("input", price_in), figure_term("output", price_out)),
        ),
        energy_evidence="cited",
        sources=(offer.source,),
    )


def _dedicated(case: Case, route: HostedFinetuneRoute, offer: economics.HostedFinetuning) -> list[Outcome]:
    """Serve on the provider's dedicated devices, by the hour, idle or not; as many as the load needs, in each size."""
    dedicated = offer.dedicated
    if dedicated is None or not offer.dedicated_device:
        raise UnknownError(f"unpriced: {route.provider} states no serving price for a tuned {route.model}")
    settings = ServeRoute(devices=(offer.dedicated_device,))
    price = DevicePrice(
        usd_per_device_s=np.full((1, case.months), dedicated.value),
        powered_by_user=False,
        evidence="cited",
        tree=partial(figure_term, "dedicated endpoint", dedicated),
        sources=(dedicated.source,),
    )
    score, least = case.score(NAME), float(route.endpoint_devices)
    return [
        fleet(case, NAME, f"dedicated {replica.name}", replica, price, "on_demand", 0.0, score, least)
        for replica in find_replicas(case, settings, route.model, offer.dedicated_device)
    ]
