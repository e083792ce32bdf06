"""The deployments found for a demand, as text and as JSON."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

from steelyard.compare.serving.plan_result import PlanOption, PlanPoint, ServingPlan
from steelyard.report.json_document import document, dump
from steelyard.report.listing import table
from steelyard.report.plain import bullets, heading
from steelyard.report.text import ranged
from steelyard.units import format_quantity

SCHEMA = "steelyard/plan-serve/1"
_SHOWN = 8


def render(plan: ServingPlan, *, form: str | None = None, width: int | None = None) -> str:
    """Return the plan for the terminal, or as "json"."""
    return dump(_document(plan)) if form == "json" else "\n".join(_text(plan, width)) + "\n"


def _document(plan: ServingPlan) -> dict[str, Any]:
    return document(
        SCHEMA,
        inputs=plan.question.inputs(),
        result={
            "cheapest": _option(plan.cheapest),
            "fastest": _option(plan.fastest),
            "least_energy": _option(plan.least_energy),
            "options": [_option(option) for option in plan.options],
            "front": [{"deployment": name} | dataclasses.asdict(point) for name, point in plan.front],
            "why": list(plan.why),
            "ranges": {name: found.to_dict() for name, found in plan.ranges.items()},
            "met_probability": plan.met_probability,
            "refused": list(plan.refused),
            "num_candidates": plan.num_candidates,
            "num_simulations": plan.num_simulations,
            "elapsed_s": plan.elapsed_s,
        },
        breakdown={},
        sources=plan.sources,
        warnings=plan.warnings,
    )


def _option(option: PlanOption) -> dict[str, Any]:
    held = {
        name: found.to_dict() if (found := getattr(option, name)) else None
        for name in ("usd_per_hour", "usd_per_output_mtoken", "usd_per_output_mtoken_at_mean")
    }
    ways = option.candidate.deployment
    return {
        "name": option.candidate.name,
        "device": option.candidate.device_id,
        "deployment": dataclasses.asdict(ways),
        "prefill_replicas": option.candidate.prefill_replicas,
        "decode_replicas": option.candidate.decode_replicas,
        "units": option.units,
        "num_devices": option.num_devices,
        "bound_request_per_s": option.candidate.bound_request_per_s,
        **dataclasses.asdict(option.at),
        **held,
    }


def _text(plan: ServingPlan, width: int | None) -> Iterator[str]:
    asked = plan.question
    demand = "as much as they carry" if asked.request_rate_per_s is None else f"{asked.request_rate_per_s:g} requests/s"
    yield f"{asked.model} on up to {asked.max_devices} of {', '.join(asked.devices)}: {demand}"
    yield f"objective: {', '.join(_limits(plan)) or 'none'}"
    yield from heading("Within the objective, cheapest first")
    yield table([_row(option) for option in plan.options[:_SHOWN]], width=width).rstrip()
    yield from heading("The answers")
    for label, option in (("cheapest", plan.cheapest), ("fastest", plan.fastest), ("least energy", plan.least_energy)):
        yield f"{label}: {option.candidate.name}, {option.num_devices} devices"
    best = plan.cheapest
    if best.usd_per_output_mtoken is not None and best.usd_per_output_mtoken_at_mean is not None:
        peak, mean = ranged(best.usd_per_output_mtoken, "usd"), ranged(best.usd_per_output_mtoken_at_mean, "usd")
        yield f"cost of a million tokens: {peak} at the peak, {mean} at the mean load of the same fleet"
    if plan.ranges:
        told = ", ".join(f"{name.upper()} {ranged(plan.ranges[f'{name}_s'], 's')}" for name in ("ttft", "tpot"))
        yield f"of the cheapest over draws of the step time: {told}; {plan.met_probability:.0%} keep the objective"
    if plan.why:
        yield from heading("Why not the others")
        yield from bullets(plan.why, width)
    yield from heading("The front: tokens/s for a user against tokens/s of a device")
    yield table([_front_row(name, point) for name, point in plan.front], width=width).rstrip()
    yield ""
    yield (
        f"{plan.num_candidates} deployments bounded in closed form, {plan.num_simulations} simulations, "
        f"{format_quantity(plan.elapsed_s, 's')}"
    )


def _limits(plan: ServingPlan) -> Iterator[str]:
    objective = plan.question.objective
    for name, percentile, limit in (
        ("TTFT", objective.ttft_percentile, objective.ttft_s),
        ("TPOT", objective.tpot_percentile, objective.tpot_s),
    ):
        if limit < float("inf"):
            yield f"{name} p{percentile:g} within {format_quantity(limit, 's')}"


def _row(option: PlanOption) -> dict[str, str]:
    at = option.at
    return {
        "deployment": option.candidate.name,
        "times": str(option.units),
        "devices": str(option.num_devices),
        "requests/s each": f"{at.request_rate_per_s:.3g}",
        "TTFT": format_quantity(at.ttft_s, "s"),
        "TPOT": format_quantity(at.tpot_s, "s"),
        "tokens/s a device": f"{at.tokens_per_s_per_device:.0f}",
        "J/token": f"{at.it_energy_j_per_token:.3g}",
        "USD/Mtoken": "" if option.usd_per_output_mtoken is None else f"{option.usd_per_output_mtoken.p50:.3g}",
    }


def _front_row(name: str, point: PlanPoint) -> dict[str, str]:
    return {
        "deployment": name,
        "requests/s each": f"{point.request_rate_per_s:.3g}",
        "tokens/s a user": f"{point.tokens_per_s_per_user:.3g}",
        "tokens/s a device": f"{point.tokens_per_s_per_device:.0f}",
        "TTFT": format_quantity(point.ttft_s, "s"),
    }
