"""Claims about the price of inference: per request, and over the years."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date

import numpy as np
import numpy.typing as npt

from steelyard import catalog, economics, inference
from steelyard.compare.claim import (
    HOLDS_IF,
    NEARLY_ALL_RATIO,
    Claim,
    Number,
    anchor,
    bounds,
    computed,
    verdict_of_cases,
    verdict_of_share,
)
from steelyard.economics.provenance import source_ids
from steelyard.units import format_quantity

Values = npt.NDArray[np.float64]

START, END = date(2023, 4, 1), date(2025, 12, 31)  # "2023 to 2025": from when each level has a price
CONTROL = "same_model_control"  # level of the price history that follows models and tiers
SAMPLES = 4_096  # requests of a preset: their median jumps where lengths pile up at a few values
ABOUT = 2.0  # "about" = within this factor


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestPrices:
    """The price of every API model for the requests of every preset; models in the order of the price table."""

    refs: tuple[str, ...]  # [A]
    blended_usd_per_token: Values  # [A], three input tokens to one output token
    median_usd: Mapping[str, Values]  # preset -> [A]
    share_in_range: Mapping[str, Values]  # preset -> [A], share of requests between the claim's bounds
    lowest_usd: float  # p1 of a preset's requests at the cheapest model
    highest_usd: float  # p99 at the dearest; beyond it no length is published of some presets
    sources: tuple[str, ...]


def request_prices(low_usd: float, high_usd: float) -> RequestPrices:
    """Return what the requests of each preset cost at each API price of the catalogue, without cache discounts."""
    prices = [economics.api_price(ref) for ref in economics.api_prices()]
    p_in = np.array([price.input_usd_per_token for price in prices])
    p_out = np.array([price.output_usd_per_token for price in prices])
    medians, shares, ends, sources = {}, {}, [], [price.input.source for price in prices]
    for name, workload in catalog.workloads().items():
        lengths = inference.lengths_from_workload(workload, num_samples=SAMPLES)
        usd = p_in[:, None] * lengths.isl_tokens + p_out[:, None] * lengths.osl_tokens  # [A, S]
        low, medians[name], high = np.quantile(usd, [0.01, 0.5, 0.99], axis=1)
        shares[name] = ((usd >= low_usd) & (usd <= high_usd)).mean(axis=1)
        ends += [float(low.min()), float(high.max())]
        sources += [figure.source for figure in workload.figures.values()]
    return RequestPrices(
        refs=tuple(price.ref for price in prices),
        blended_usd_per_token=np.asarray(economics.blend(p_in, p_out)),
        median_usd=medians,
        share_in_range=shares,
        lowest_usd=min(ends),
        highest_usd=max(ends),
        sources=source_ids(sources),
    )


def price_per_request() -> Claim:
    """Judge "$0.001-$0.10 per request": is a model's median request of a preset in that range?"""
    low_usd, high_usd = bounds("claim-request-price")
    prices = request_prices(low_usd, high_usd)
    inside = {name: (usd >= low_usd) & (usd <= high_usd) for name, usd in prices.median_usd.items()}
    share = float(np.mean(list(inside.values())))
    verdict = verdict_of_share(share)
    spans = {name: _price_span(prices.blended_usd_per_token, mask) for name, mask in inside.items()}
    condition = "; ".join(
        f"{name}: {_per_million(span[0])} to {_per_million(span[1])} USD/Mtoken"
        for name, span in spans.items()
        if span and inside[name].mean() > 1 - NEARLY_ALL_RATIO
    )
    numbers = [
        computed("share of models and presets with a median in the range", share, "ratio"),
        computed("p1 of the cheapest requests", prices.lowest_usd, "usd"),
        computed("p99 of the dearest requests", prices.highest_usd, "usd"),
    ]
    for name, usd in prices.median_usd.items():
        numbers += _extremes(name, usd, prices.refs)
        numbers.append(computed(f"{name}: share of models in the range", float(inside[name].mean()), "ratio"))
    return Claim(
        id="price_per_request",
        text="$0.001-$0.10 per request",
        verdict=verdict,
        condition=f"prices of models (3:1 blend) by preset: {condition}" if verdict == HOLDS_IF else "",
        sentence=(
            f"At the list prices of {len(prices.refs)} API models, requests of the presets cost from "
            f"{_usd(prices.lowest_usd)} to {_usd(prices.highest_usd)} (p1 at the cheapest to p99 at the dearest); in "
            f"{share:.0%} of the pairs of model and preset the median request lies in the range."
        ),
        numbers=tuple(numbers),
        sources=prices.sources,
    )


def cent_per_request(preset: str = "chat") -> Claim:
    """Judge "about $0.01 per inference request": is a model's median chat request within a factor of 2 of it?"""
    usd = anchor("claim-request-price-typical").value
    prices = request_prices(usd / ABOUT, usd * ABOUT)
    medians = prices.median_usd[preset]
    inside = (medians >= usd / ABOUT) & (medians <= usd * ABOUT)
    share = float(inside.mean())
    verdict = verdict_of_share(share)
    span = _price_span(prices.blended_usd_per_token, inside)
    condition = ""
    if verdict == HOLDS_IF and span:
        low, high = (_per_million(end) for end in span)
        condition = f"the model costs {low} to {high} USD/Mtoken (3:1 blend) and requests are of {preset} length"
    cheapest, middle = float(medians.min()), float(np.median(medians))
    return Claim(
        id="cent_per_request",
        text="about $0.01 per inference request",
        verdict=verdict,
        condition=condition,
        sentence=(
            f"The median {preset} request costs {_usd(middle)} at the median model and {_usd(cheapest)} at the "
            f"cheapest ({usd / cheapest:.0f} times less than a cent); {share:.0%} of the models are within a factor "
            f"of {ABOUT:.0f} of it."
        ),
        numbers=(
            computed("share of models within a factor of 2", share, "ratio"),
            computed("median over models", middle, "usd"),
            *_extremes(preset, medians, prices.refs),
            computed("claim over the cheapest model", usd / cheapest, "ratio"),
        ),
        sources=prices.sources,
    )


def price_fall() -> Claim:
    """Judge "inference prices fell over 90% from 2023 to 2025": at fixed capability, and for one and the same model."""
    least_ratio = anchor("claim-price-fall").value
    numbers, cases, sources = [], {}, []
    for level in economics.levels():
        decline = economics.price_decline(level)
        fall = decline.fall_ratio(START, END)
        cases[f"at fixed capability, {level}"] = fall > least_ratio
        numbers += [
            computed(f"{level}: price on {day}", decline.price_at(day), "usd_per_token") for day in (START, END)
        ]
        numbers.append(computed(f"{level}: fall", fall, "ratio"))
        sources += [point.source for point in decline.points]
    for tier, fall in _tier_falls().items():
        cases[f"by the list price of one tier, {tier}"] = fall > least_ratio
        numbers.append(computed(f"list price of {tier}: fall", fall, "ratio"))
    verdict, true = verdict_of_cases(cases)
    kinds = sorted({name.partition(",")[0] for name in true})
    falls = [number.value for number in numbers if number.label.endswith(": fall") and "list price" not in number.label]
    tiers = ", ".join(f"{fall:.0%} ({tier})" for tier, fall in _tier_falls().items())
    return Claim(
        id="price_fall",
        text="inference prices fell over 90% from 2023 to 2025",
        verdict=verdict,
        condition=f"prices are compared {' or '.join(kinds)}" if verdict == HOLDS_IF else "",
        sentence=(
            f"The cheapest API model of a capability level fell by {min(falls):.1%} to {max(falls):.1%} between "
            f"{START} and {END}; list prices of one tier fell by {tiers}."
        ),
        numbers=tuple(numbers),
        sources=source_ids(sources),
    )


def _tier_falls() -> dict[str, float]:
    """Return by how much the list price of a provider's tier fell, from its first to its last price until the end.

    A tier is a provider's models whose names differ in version numbers only.
    """
    dated: dict[str, list[tuple[str, float]]] = {}
    for row in catalog.table("api_price_history").where(level=CONTROL):
        if row["date"] <= END.isoformat():
            words = re.findall(r"[a-z]+[0-9]*", row["model"].casefold())
            tier = f"{row['provider']} {' '.join(sorted(words))}"
            dated.setdefault(tier, []).append((row["date"], economics.blended_usd_per_token(row)))
    ordered = {tier: sorted(prices) for tier, prices in dated.items() if len(prices) > 1}
    return {tier: 1 - prices[-1][1] / prices[0][1] for tier, prices in ordered.items()}


def _price_span(blended: Values, inside: npt.NDArray[np.bool_]) -> tuple[float, float] | None:
    """Return the widest span of blended prices, among those of models inside, in which nearly all models are inside."""
    best: tuple[int, float, float] | None = None
    order = np.argsort(blended)
    prices, true = blended[order], inside[order]
    for start in np.flatnonzero(true):
        for end in np.flatnonzero(true):
            count = int(end) - int(start) + 1
            if count >= 1 and true[start : end + 1].mean() >= NEARLY_ALL_RATIO and (best is None or count > best[0]):
                best = (count, float(prices[start]), float(prices[end]))
    return None if best is None else best[1:]


def _extremes(name: str, usd: Values, refs: tuple[str, ...]) -> list[Number]:
    low, high = int(np.argmin(usd)), int(np.argmax(usd))
    return [
        computed(f"{name}: cheapest median request, {refs[low]}", float(usd[low]), "usd"),
        computed(f"{name}: dearest median request, {refs[high]}", float(usd[high]), "usd"),
    ]


def _per_million(usd_per_token: float) -> str:
    return f"{usd_per_token * 1e6:.3g}"


def _usd(value: float) -> str:
    return format_quantity(value, "usd")
