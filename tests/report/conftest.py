"""A comparison written by hand: what the renderers are given, with nothing computed."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest

from steelyard.compare.result import (
    ROUTES,
    BreakEven,
    Cell,
    Comparison,
    FactorResult,
    Quantity,
    RouteSummary,
    Segment,
    Verdict,
)
from steelyard.records.estimate import Estimate
from steelyard.records.term import Term


def around(p50: float, spread: float = 0.2) -> Estimate:
    return Estimate(p10=p50 * (1 - spread), p50=p50, p90=p50 * (1 + spread))


def known(
    label: str, p50: float, unit: str, evidence: str = "predicted", spread: float = 0.2, note: str = ""
) -> Quantity:
    return Quantity(label=label, value=around(p50, spread), unit=unit, evidence=evidence, note=note)  # type: ignore[arg-type]


def missing(label: str, unit: str, note: str) -> Quantity:
    return Quantity(label=label, value=None, unit=unit, evidence="assumed", note=note)


OPTIONS = {
    "api": "openai/gpt-6-luna",
    "hosted_finetune": "gpt-oss-120b tuned by fireworks (lora)",
    "serve": "gpt-oss-120b on 2x h100-sxm5-80gb, reserved_1y",
    "hybrid": "gpt-oss-120b on 1x h200-sxm-141gb, overflow to deepinfra/openai/gpt-oss-120b",
    "finetune": "qwen3-8b tuned (lora) on 1x h100-sxm5-80gb, on_demand",
    "pretrain": "qwen3-8b from nothing on 512x h100-sxm5-80gb",
}
MONTHLY = dict(zip(ROUTES, (320.0, 1900.0, 9400.0, 6300.0, 7100.0, 7200.0), strict=True))
UPFRONT = dict(zip(ROUTES, (0.0, 5000.0, 0.0, 0.0, 41_000.0, 9.6e6), strict=True))
WHY_NOT = {"pretrain": "quality unknown: no score on arena-text"}


def summary(route: str, option: str = "") -> RouteSummary:
    monthly, why_not = MONTHLY[route], WHY_NOT.get(route, "")
    months = tuple(around(monthly * 1.05**month) for month in range(24))
    rented = route not in ("api", "hosted_finetune")
    return RouteSummary(
        route=route,
        option=option or OPTIONS[route],
        in_running=not why_not,
        why_not=why_not,
        first_month_usd=months[0],
        in_a_year_usd=months[11],
        last_month_usd=months[-1],
        upfront_usd=around(UPFRONT[route]),
        total_usd=around(UPFRONT[route] + sum(month.p50 for month in months)),
        monthly_usd=months,
        cumulative_usd=tuple(
            around(UPFRONT[route] + sum(month.p50 for month in months[: count + 1])) for count in range(24)
        ),
        devices_first=around(2.0, 0) if rented else None,
        devices_last=around(4.0, 0.25) if rented else None,
        to_rent_or_buy="rent 2, later 4 devices" if rented else "nothing",
        quality=missing("score", "elo", "quality unknown") if why_not else known("score", 1354.0, "elo", "cited", 0.01),
    )


def factor(
    factor_id: str, title: str, unit: str, inference: float, training: float, **verdicts: Verdict
) -> FactorResult:
    ours = Verdict(winner="inference", criterion=f"less {title.lower()}", because="it is less", probability=0.97)
    best = Verdict(winner="api", criterion=f"least {title.lower()}", probability=0.91)
    return FactorResult(
        id=factor_id,
        title=title,
        activities={
            "inference": Cell(
                quantities=(
                    known(f"{title.lower()} of serving", inference, unit),
                    known("per request", 0.0021, "usd_per_request", "cited"),
                )
            ),
            "training": Cell(quantities=(known(f"{title.lower()} of the run", training, unit),)),
        },
        ratio=known("inference over training", inference / training, "1"),
        crossover="the run costs as much as 2.1 Mrequests answered this way",
        activity_verdict=verdicts.get("activity", ours),
        routes={
            route: Cell(quantities=(known(title.lower(), inference * (i + 1), unit),))
            if route != "pretrain"
            else Cell(quantities=(missing(title.lower(), unit, "unpriced"),))
            for i, route in enumerate(ROUTES)
        },
        route_verdict=verdicts.get("route", best),
        tree=Term(
            label=f"{title}, inference over training",
            value=inference / training,
            unit="1",
            formula="serving / run",
            children=(
                Term(
                    label="serving",
                    value=inference,
                    unit=unit,
                    formula="requests x price",
                    source="api-prices-2026-11 (2026-11-22, published)",
                ),
                Term(label="run", value=training, unit=unit, formula="device time x price"),
                Term(label="route chosen", value="api"),
            ),
        ),
    )


def _comparison(*, name: str = "Support assistant", option: str = "") -> Comparison:
    too_close = Verdict(winner="too close to call", criterion="least time", because="the ranges overlap")
    apart = Verdict(winner="not comparable", criterion="they serve different ends")
    tie = Verdict(winner="tie", criterion="nearer to linear")
    factors = (
        factor(
            "purpose",
            "Purpose",
            "request_per_s",
            0.23,
            0.1,
            activity=apart,
        ),
        factor("compute_cost", "Compute cost", "usd", 12_300.0, 960_000.0),
        factor("time_to_value", "Time to value", "s", 0.8, 5.2e6, route=too_close),
        factor("hardware_requirements", "Hardware requirements", "device", 4.0, 512.0),
        factor("enterprise_relevance", "Enterprise relevance", "ratio", 0.62, 0.38),
        factor(
            "scalability",
            "Scalability",
            "ratio",
            0.97,
            0.81,
            activity=tie,
        ),
        factor("optimisation_goals", "Optimisation goals", "j", 3.1e9, 8.4e11),
    )
    loads = tuple(10.0**k for k in range(4, 11))
    return Comparison(
        title=name,
        outcome="600,000 answers a month, arena-text of 1340, TTFT within 2 s at p95; over 24 months",
        summaries=tuple(summary(route, option if route == "api" else "") for route in ROUTES),
        factors=factors,
        advice="Call openai/gpt-6-luna now: about 320 USD a month. From 210 million requests on, serve "
        "gpt-oss-120b yourself.",
        break_even=BreakEven(
            segments=(
                Segment(route="api", from_requests_per_month=0.0, to_requests_per_month=2.1e8),
                Segment(route="serve", from_requests_per_month=2.1e8, to_requests_per_month=math.inf),
            ),
            requests_per_month=loads,
            usd_per_month={
                "api": tuple(load * 5e-4 for load in loads),
                "serve": tuple(9400.0 + load * 1e-4 for load in loads),
                "pretrain": tuple(400_000.0 + load * 1e-4 for load in loads),
            },
            stated_requests_per_month=608_750.0,
            sentence="api is cheapest up to 210 million requests a month, serve beyond; you are at 609,000.",
        ),
        assumptions=(
            "API prices fall to 0.9x in a year (assumed)",
            "arena-text score of the tuned model as stated",
        ),
        not_modelled=("speculative decoding", "cost of leaving a provider"),
        warnings=("price of openai/gpt-6-luna is older than 90 days",),
        sources=("api-prices-2026-11", "arena-2026-11"),
        inputs={"name": name, "model": "gpt-oss-120b"},
    )


@pytest.fixture(scope="session")
def make_comparison() -> Callable[..., Comparison]:
    """Return the function that makes one, with another name or option."""
    return _comparison


@pytest.fixture(scope="session")
def comparison() -> Comparison:
    return _comparison()
