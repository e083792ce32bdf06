"""A simulated serving fleet as text and as JSON."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from steelyard.compare.serving.traffic_question import TrafficAnswer
from steelyard.inference.simulator import METRICS
from steelyard.report.json_document import document, dump
from steelyard.report.listing import table
from steelyard.report.text import amount, clean, ranged
from steelyard.units import format_quantity

SCHEMA = "steelyard/simulate-serve/1"
_SHOWN = ("mean", "p50", "p90", "p95", "p99")


def render(answer: TrafficAnswer, *, form: str | None = None, width: int | None = None) -> str:
    """Return the answer for the terminal, or as "json"."""
    return dump(_document(answer)) if form == "json" else _text(answer, width)


def _document(answer: TrafficAnswer) -> dict[str, Any]:
    run = answer.run
    result = run.to_dict() | {
        "elapsed_s": answer.elapsed_s,
        "requests_simulated_per_s": run.num_requests / answer.elapsed_s,
        "ranges": {name: found.to_dict() for name, found in answer.ranges.items()},
        "overloaded_probability": answer.overloaded_probability,
        "usd": {name: found.to_dict() for name, found in answer.usd.items()},
        "it_energy_j": answer.it_energy_j,
        "facility_energy_j": answer.facility_energy_j,
        "it_energy_j_per_request": answer.it_energy_j / run.num_requests if run.num_requests else None,
        "objective_met": not answer.misses,
        "misses": [
            {"metric": miss.metric, "limit_s": miss.limit_s, "reached_s": miss.reached_s} for miss in answer.misses
        ],
    }
    return document(
        SCHEMA,
        inputs=answer.inputs,
        result=result,
        breakdown={name: tree.to_dict() for name, tree in answer.breakdown.items()},
        sources=answer.sources,
        warnings=answer.warnings,
    )


def _text(answer: TrafficAnswer, width: int | None) -> str:
    parts = [f"{clean(answer.title)}\n{clean(answer.load_label)}; {answer.run.num_requests:,} requests\n"]
    parts.append(table(list(_latencies(answer)), width=width))
    parts.append(table([{"": name, "value": value} for name, value in _figures(answer)], width=width))
    if answer.misses:
        parts.append("".join(f"objective missed: {miss.told}\n" for miss in answer.misses))
    parts.append(
        "Ranges are p10 to p90 over draws of the step-time residual, each simulated; of money, over providers.\n"
    )
    return "\n".join(parts)


def _latencies(answer: TrafficAnswer) -> Iterator[dict[str, str]]:
    for metric in METRICS:
        row = {"latency": metric.upper()}
        found = answer.run.percentiles_s(metric)
        for name in _SHOWN:
            spread = answer.ranges.get(f"{metric}_{name}_s")
            value = format_quantity(found[name], "s")
            row[name] = f"{value} ({_between(spread.p10, spread.p90)})" if spread else value
        yield row


def _between(low: float, high: float) -> str:
    return f"{format_quantity(low, 's')} to {format_quantity(high, 's')}"


def _figures(answer: TrafficAnswer) -> Iterator[tuple[str, str]]:
    run = answer.run
    yield "requests answered", format_quantity(run.request_rate_per_s, "request_per_s")
    yield "output", format_quantity(run.output_tokens_per_s, "token_per_s")
    yield (
        "good requests (within the objective)",
        f"{format_quantity(run.goodput_request_per_s, 'request_per_s')}, "
        f"{format_quantity(run.slo_attainment_ratio, 'ratio')}",
    )
    if answer.ranges:
        yield "chance that the fleet cannot keep up", format_quantity(answer.overloaded_probability, "ratio")
    yield "time in which a step runs", format_quantity(run.busy_ratio, "ratio")
    yield "sequences in a step", f"{run.mean_batch_requests:.1f}"
    yield (
        "KV cache in use, mean and most",
        " and ".join(format_quantity(value, "ratio") for value in (run.kv_use_ratio, run.kv_peak_ratio)),
    )
    if run.num_preemptions:
        yield "preemptions", f"{run.num_preemptions:,}, {format_quantity(run.recomputed_tokens, 'token')} again"
    if run.prefix_hit_ratio:
        yield "prompt blocks found in a prefix cache", format_quantity(run.prefix_hit_ratio, "ratio")
    if run.num_failed_over:
        yield "requests started again after a failure", f"{run.num_failed_over:,}"
    if run.num_rejected:
        yield "requests too long to serve", f"{run.num_rejected:,}"
    yield "replicas, mean", f"{run.mean_replica_count:.3g}"
    yield (
        "energy per request, devices and hosts",
        format_quantity(answer.it_energy_j / run.num_requests if run.num_requests else 0.0, "j"),
    )
    yield (
        "energy per request, facility (PUE)",
        format_quantity(answer.facility_energy_j / run.num_requests if run.num_requests else 0.0, "j"),
    )
    for name, label in (
        ("usd_per_request", "USD per 1,000 requests"),
        ("usd_per_output_mtoken", "USD per Mtoken generated"),
        ("usd_per_hour", "USD per hour"),
    ):
        if name in answer.usd:
            held = answer.usd[name]
            yield label, ranged(held, "usd_per_request") if name == "usd_per_request" else ranged(held, "usd")
    yield "simulated in", f"{amount(answer.elapsed_s, 's')}"
