"""The deployments found for a demand: what their sheet says, and the JSON document."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

from steelyard.compare.serving.plan_account import DeviceAccount
from steelyard.compare.serving.plan_result import PlanOption, PlanPoint, ServingPlan
from steelyard.report import sheet as sheets
from steelyard.report.json_document import document
from steelyard.report.serving_figures import money_against_ttft, user_against_device
from steelyard.report.serving_traffic import transfer_note
from steelyard.report.sheet import Bullets, Plot, Rows, Section, Sheet
from steelyard.report.text import ranged, rent
from steelyard.units import format_quantity

SCHEMA = "steelyard/plan-serve/1"
_SHOWN = 8


def render(plan: ServingPlan, *, form: str | None = None, width: int | None = None) -> str:
    """Return the plan as text, or as "json", "markdown" or "html"."""
    return sheets.render(sheet(plan), form=form, document=lambda: _document(plan), width=width)


def _document(plan: ServingPlan) -> dict[str, Any]:
    return document(
        SCHEMA,
        inputs=plan.question.inputs(),
        result={
            "cheapest": option_dict(plan.cheapest),
            "fastest": option_dict(plan.fastest),
            "least_energy": option_dict(plan.least_energy),
            "options": [option_dict(option) for option in plan.options],
            "front": [{"deployment": name} | point.to_dict() for name, point in plan.front],
            "why": list(plan.why),
            "ranges": {name: found.to_dict() for name, found in plan.ranges.items()},
            "met_probability": plan.met_probability,
            "request_rate_per_s": plan.request_rate_per_s,
            "peak_to_mean_ratio": plan.peak_to_mean_ratio,
            "replay": None if plan.replay is None else dataclasses.asdict(plan.replay),
            "kv_transfer_s": plan.kv_transfer_s,
            "devices": [dataclasses.asdict(one) for one in plan.devices],
            "num_candidates": plan.num_candidates,
            "num_simulations": plan.num_simulations,
            "elapsed_s": plan.elapsed_s,
        },
        breakdown={},
        sources=plan.sources,
        warnings=plan.warnings,
    )


def option_dict(option: PlanOption) -> dict[str, Any]:
    """Return an option as plain values."""
    held = {
        name: found.to_dict() if (found := getattr(option, name)) else None
        for name in ("usd_per_hour", "usd_per_output_mtoken", "usd_per_output_mtoken_at_mean")
    }
    unit = option.candidate
    return {
        "name": option.candidate.name,
        "device": option.candidate.device_id,
        "deployment": dataclasses.asdict(unit.deployment),
        "max_sequences": unit.max_sequences,
        "prefill_deployment": None if unit.prefill is None else dataclasses.asdict(unit.prefill),
        "prefill_replicas": unit.prefill_replicas,
        "decode_replicas": unit.decode_replicas,
        "kv_transfer_s_per_token": unit.transfer_s_per_token,
        "units": option.units,
        "num_devices": option.num_devices,
        "bound_request_per_s": option.candidate.bound_request_per_s,
        **option.at.to_dict(),
        "it_energy_j_per_token": option.energy.it_j,
        "energy_per_token": option.energy.to_dict(),
        **held,
    }


def sheet(plan: ServingPlan) -> Sheet:
    """Return what a plan says."""
    asked = plan.question
    rate = plan.request_rate_per_s
    demand = "as much as they carry" if rate is None else f"{rate:.4g} requests/s at the peak"
    mean = "" if rate is None else f", {rate / plan.peak_to_mean_ratio:.4g} in the mean"
    devices = ", ".join(dict.fromkeys(asked.devices))
    why = (Section(heading="Why not the others", parts=(Bullets(plan.why),)),) if plan.why else ()
    return Sheet(
        title=f"{asked.model} on up to {asked.max_devices} of {devices}: {demand}{mean}",
        asked=(f"load: {plan.load_label}", f"objective: {', '.join(_limits(plan)) or 'none'}", *asked.told),
        sections=(
            Section(
                heading="Within the objective, cheapest first",
                parts=(
                    Rows([_row(option) for option in plan.options[:_SHOWN]]),
                    Plot("Money against TTFT", lambda: money_against_ttft(plan)),
                ),
            ),
            Section(heading="The answers", parts=(Bullets(list(_answers(plan))),)),
            *why,
            Section(heading="What came of each device", parts=(Bullets(list(map(_came, plan.devices))),)),
            Section(
                heading="The front: tokens/s for a user against tokens/s of a device",
                parts=(
                    Rows([_front_row(name, point) for name, point in plan.front]),
                    Plot("A user against a device", lambda: user_against_device(plan)),
                ),
            ),
            Section(heading="Read it so", parts=(Bullets(list(_notes(plan))),)),
        ),
        sources=plan.sources,
        warnings=plan.warnings,
    )


def _answers(plan: ServingPlan) -> Iterator[str]:
    for label, option in (("cheapest", plan.cheapest), ("fastest", plan.fastest), ("least energy", plan.least_energy)):
        yield f"{label}: {option.candidate.name}, {option.num_devices:,} devices"
    best = plan.cheapest
    if best.usd_per_output_mtoken is not None and best.usd_per_output_mtoken_at_mean is not None:
        peak, mean = ranged(best.usd_per_output_mtoken, "usd"), ranged(best.usd_per_output_mtoken_at_mean, "usd")
        yield f"cost of a million tokens: {peak} at the peak, {mean} at the mean load of the same fleet"
    yield from map(rent, plan.rents)
    spent = best.energy
    parts = (("devices", spent.device_j), ("their hosts", spent.host_j), ("cooling and supply (PUE)", spent.cooling_j))
    told = ", ".join(f"{format_quantity(joules, 'j')} {name}" for name, joules in parts)
    yield f"energy per output token of the cheapest: {told}"
    if plan.ranges:
        told = ", ".join(f"{name.upper()} {ranged(plan.ranges[f'{name}_s'], 's')}" for name in ("ttft", "tpot"))
        kept = f"{plan.met_probability:.0%} keep the objective"
        yield f"of the cheapest under its part of the demand, over draws of the step time: {told}; {kept}"
    if plan.replay is not None:
        seen = plan.replay
        kept = "keeps the objective" if seen.meets else "MISSES THE OBJECTIVE"
        yield (
            f"under the trace itself, {seen.num_requests:,} requests, the cheapest {kept}: TTFT "
            f"{format_quantity(seen.ttft_s, 's')}, TPOT {format_quantity(seen.tpot_s, 's')}, "
            f"{format_quantity(seen.slo_attainment_ratio, 'ratio')} of requests good"
            + (f", {format_quantity(seen.prefix_hit_ratio, 'ratio')} of blocks cached" if seen.prefix_hit_ratio else "")
        )
    if plan.kv_transfer_s:
        yield transfer_note(plan.kv_transfer_s)


def _came(one: DeviceAccount) -> str:
    """Return how many layouts of a device are answers and what stands against the rest; told of the nearest if none."""
    against = [f"{found.reason}: {found.count}" for found in one.against]
    if not one.num_answers:
        against[0] += f" (nearest, {one.against[0].nearest})"
    price = ["no price, so it stands last"] if one.unpriced and one.num_answers else []
    return "; ".join((f"{one.device_id}: {one.num_answers} of {one.num_layouts} layouts are answers", *against, *price))


def _notes(plan: ServingPlan) -> Iterator[str]:
    yield "TTFT and TPOT are those of the objective's percentile, simulated at the rate of the line"
    if plan.request_rate_per_s is not None:
        yield "energy and cost of a token are those under the peak demand, which a fleet of whole units may not fill"
    if plan.question.objective.ttft_s == float("inf"):
        yield "no TTFT is asked (--ttft): a deployment is loaded until it just keeps up, however long prompts wait"
    yield "ranges are p10 to p90 over draws of the step-time residual, each simulated; of money, over providers"
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
        "times": f"{option.units:,}",
        "devices": f"{option.num_devices:,}",
        "requests/s each": f"{at.request_rate_per_s:.3g}",
        "TTFT": format_quantity(at.ttft_s, "s"),
        "TPOT": format_quantity(at.tpot_s, "s"),
        "tokens/s a device": f"{at.tokens_per_s_per_device:.0f}",
        "J/token": f"{option.energy.it_j:.3g}",
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
