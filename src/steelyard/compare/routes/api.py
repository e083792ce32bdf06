"""Route `api`: pay a provider by the token."""

from __future__ import annotations

from functools import partial

import numpy as np

from steelyard import arch, catalog, economics
from steelyard.compare.case import DEFAULT_WORKLOAD, Case
from steelyard.compare.draws import Draw
from steelyard.compare.routes.outcome import ZERO, Latency, Outcome, Unpriced, median, nothing
from steelyard.errors import UnknownError
from steelyard.records.term import Term, explain, figure_term
from steelyard.records.usage import Usage

HALF = 0.5  # probes of other models are weak evidence: only a miss in most draws counts


def evaluate(case: Case) -> list[Outcome | Unpriced]:
    route = case.scenario.routes.api
    return [option(case, "api", name) for name in route.options if case.wants("api", name)] if route else []


def option(case: Case, route: str, name: str) -> Outcome | Unpriced:
    """Return one API option carrying the whole demand."""
    score = case.score(name, route)
    try:
        price = price_of(case, name)
    except UnknownError as error:
        return Unpriced(route=route, option=name, reason=str(error), score=score)
    monthly = token_cost(case, name, price, case.requests)
    energy = request_energy(case) * case.requests
    latency = api_latency(case)
    return Outcome(
        route=route,
        option=name,
        score=score,
        monthly_usd=monthly,
        upfront_usd=ZERO,
        devices=np.zeros((1, case.months)),
        serving_energy_j=energy,
        serving_flop=serving_flop(case, case.requests),
        first_answer_s=case.assumed("setup_api"),
        latency=latency,
        misses=misses_objective(case, latency),
        held=nothing,
        tree=partial(cost_tree, case, name, price, monthly),
        energy_evidence="cited",
        notes=price.warnings(case.today),
        sources=(price.input.source, price.output.source),
    )


def price_of(case: Case, name: str) -> economics.ApiPrice:
    """Return the price of an API option: the user's contract, else the catalogue's."""
    contract = case.scenario.prices.api.get(name)
    if contract is None:
        price = economics.api_price(name)
        if price.input.as_of > case.today:
            known = f"the catalogue's price is of {price.input.as_of}, later than as_of {case.today}"
            raise UnknownError(f"unpriced: {known}; state its price of that day under prices.api")
        return price
    return economics.stated_api_price(
        name,
        input_usd_per_token=contract.input_usd_per_token,
        output_usd_per_token=contract.output_usd_per_token,
        cached_input_usd_per_token=contract.cached_input_usd_per_token,
        as_of=case.today,
    )


def token_cost(case: Case, name: str, price: economics.ApiPrice, requests: Draw) -> Draw:
    """Return USD in each month [D, M] for the given requests: a contract keeps its price, a list price moves.

    Requests that can wait are charged the batch price, where a contract states one.
    """
    kept = _contract_ratio(case, name)
    trend = case.api_price_ratio if kept is None else np.full((1, case.months), kept)
    return np.asarray(economics.api_cost_usd(usage_of(case, requests), price, price_ratio=trend)) * np.ones(case.months)


def _contract_ratio(case: Case, name: str) -> float | None:
    """Return what a contract charges over its price, its batch price for what can wait; None without a contract."""
    contract = case.scenario.prices.api.get(name)
    return None if contract is None else 1 - case.scenario.demand.deferrable_ratio * (1 - contract.batch_ratio)


def misses_objective(case: Case, latency: Latency) -> str:
    """Return why an API is out of the running: published medians already miss the limits in most draws."""
    meets = (latency.ttft_s <= case.objective.ttft_s) & (latency.tpot_s <= case.objective.tpot_s)
    share = float(meets.mean())
    return "" if share >= HALF else f"published API latency meets the objective in only {share:.0%} of draws"


def usage_of(case: Case, requests: Draw) -> Usage:
    cached, (isl_tokens, osl_tokens) = case.lengths.cached_input_ratio, case.mean_tokens
    tokens_in = requests * isl_tokens
    return Usage(
        input_tokens=tokens_in * (1 - cached),
        cached_input_tokens=tokens_in * cached,
        output_tokens=requests * osl_tokens,
        requests=requests,
    )


def api_latency(case: Case) -> Latency:
    """Return what published probes of hosted APIs measured, over all of them: which option is faster is not known."""
    return case.once(("api latency", case.draws), lambda: _api_latency(case))


def _api_latency(case: Case) -> Latency:
    table = catalog.table("api_latency").rows
    ttft = [row.value("ttft_p50") for row in table if "ttft_p50" in row.figures]
    rate = [row.value("output_rate") for row in table if "output_rate" in row.figures]
    ttft_s = case.draws.from_sorted("api_ttft", np.sort(ttft))
    tpot_s = 1 / case.draws.from_sorted("api_rate", np.sort(rate))
    newest = max(row.as_of for row in table)
    return Latency(
        ttft_s=ttft_s,
        tpot_s=tpot_s,
        e2e_s=ttft_s + tpot_s * (case.lengths.mean_osl_tokens - 1),
        evidence="cited",
        note=f"medians of {len(table)} published probes up to {newest.year}, of other models; measure your own",
    )


def request_energy(case: Case) -> Draw:
    """Return facility energy of one API request [D, 1]: published ones, scaled by output or by all tokens."""
    return case.once(("api energy", case.draws), lambda: _request_energy(case))


def _request_energy(case: Case) -> Draw:
    rows = {row["id"]: row for row in catalog.table("anchors").rows}
    low, high = rows["energy-gemini-median-prompt"].value("value"), rows["energy-chatgpt-prompt"].value("value")
    chat = catalog.workload(DEFAULT_WORKLOAD)  # the published prompts are everyday chat
    asked_out, asked_in = case.lengths.mean_osl_tokens, case.lengths.mean_isl_tokens
    by_output = asked_out / chat.osl_mean_tokens
    by_tokens = (asked_in + asked_out) / (chat.isl_mean_tokens + chat.osl_mean_tokens)
    least, most = low * min(by_output, by_tokens), high * max(by_output, by_tokens)
    return case.draws.between("api_energy", least, (least * most) ** 0.5, most)


def serving_flop(case: Case, requests: Draw, model: arch.Model | None = None) -> Draw:
    """Return model FLOP of serving in each month; an API's are the scenario model's (its own are not known)."""
    tokens = sum(case.mean_tokens)
    answering = model or case.model(case.scenario.model)
    per_token = case.once(("serving flop", answering), lambda: arch.flop_per_token(answering, tokens, training=False))
    return np.asarray(requests * tokens * per_token)


def cost_tree(case: Case, name: str, price: economics.ApiPrice, monthly: Draw) -> Term:
    """Return how the total of an API option comes about, down to its prices."""
    usage = usage_of(case, case.requests)
    parts = [
        ("input tokens", usage.input_tokens, price.input),
        ("cached input tokens", usage.cached_input_tokens, price.cached_input),
        ("output tokens", usage.output_tokens, price.output),
    ]
    kept, children = _contract_ratio(case, name), []
    for label, tokens, figure in parts:
        count = median(np.asarray(tokens).sum(axis=1))
        children.append(
            Term(
                label=f"{label} at today's price",
                value=count * figure.value,
                unit="usd",
                formula="tokens x price",
                children=(
                    Term(
                        label=label,
                        value=count,
                        unit="token",
                        formula="requests x mean length",
                        source=case.lengths.label,
                    ),
                    figure_term("price", figure) if kept is None else _stated("price", figure.value, figure.unit),
                ),
            )
        )
    drift = explain(economics.price_decline(), "forward_ratio")
    if kept is not None:
        drift = _stated("a contract keeps its price; the batch price for the share that can wait", kept, "ratio")
    return Term(
        label=f"api: {name}",
        value=median(monthly.sum(axis=1)),
        unit="usd",
        formula="sum over months of tokens x price x price trend",
        children=(*children, drift),
    )


def _stated(label: str, value: float, unit: str) -> Term:
    return Term(label=label, value=value, unit=unit, source="stated in the scenario")
