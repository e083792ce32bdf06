"""A simulated serving fleet: what its sheet says, and its JSON document."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from steelyard.compare.serving.traffic_question import TrafficAnswer
from steelyard.inference.simulator import METRICS, NOT_MODELLED
from steelyard.report import sheet as sheets
from steelyard.report.json_document import document
from steelyard.report.serving_figures import over_time, spread_of
from steelyard.report.sheet import Bullets, Plot, Rows, Section, Sheet, Words
from steelyard.report.text import amount, joined, ranged, rent, span
from steelyard.units import format_quantity

SCHEMA = "steelyard/simulate-serve/1"
HALF = 0.5
_QUEUED = ("ttft", "e2e")  # grow with the length of a load that a fleet cannot carry, which is shorter in the draws
_SHOWN = ("mean", "p50", "p90", "p95", "p99")


def render(answer: TrafficAnswer, *, form: str | None = None, width: int | None = None) -> str:
    """Return the answer as text, or as "json", "markdown" or "html"."""
    return sheets.render(sheet(answer), form=form, document=lambda: _document(answer), width=width)


def _document(answer: TrafficAnswer) -> dict[str, Any]:
    run = answer.run
    result = run.to_dict() | {
        "elapsed_s": answer.elapsed_s,
        "requests_simulated_per_s": run.num_requests / answer.elapsed_s,
        "ranges": {name: found.to_dict() for name, found in answer.ranges.items()},
        "drawn_requests": answer.drawn_requests,
        "overloaded_probability": answer.overloaded_probability,
        "usd": {name: found.to_dict() for name, found in answer.usd.items()},
        "it_energy_j": answer.energy.it_j,
        "facility_energy_j": answer.energy.facility_j,
        "energy_per_request": answer.energy.per(run.num_requests).to_dict(),
        "kv_transfer_s": answer.kv_transfer_s,
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


def sheet(answer: TrafficAnswer) -> Sheet:
    """Return what a simulation says."""
    run = answer.run
    figures = [{"of the fleet": name, "value": value} for name, value in _figures(answer)]
    spent = [{"what it takes": name, "value": value} for name, value in _spent(answer)]
    latencies = {metric.upper(): getattr(run, metric) for metric in METRICS}
    return Sheet(
        title=answer.title,
        asked=(f"{answer.load_label}; {run.num_requests:,} requests", *answer.served_by.told),
        sections=(
            Section(
                heading="Latency",
                parts=(
                    Rows(list(_latencies(answer))),
                    Bullets(list(_overload(answer))),
                    Words([f"objective missed: {miss.told}" for miss in answer.misses]),
                    Plot("How latencies are spread", lambda: spread_of(latencies)),
                ),
            ),
            Section(heading="Rates and use", parts=(Rows(figures),)),
            Section(heading="Over time", parts=tuple(_plots(answer))),
            Section(heading="Energy and money", parts=(Rows(spent),)),
            Section(heading="Read it so", parts=(Bullets(list(_notes(answer))),)),
        ),
        trees=answer.breakdown,
        sources=answer.sources,
        warnings=answer.warnings,
    )


def _plots(answer: TrafficAnswer) -> Iterator[Plot]:
    asked, seen = answer.objective, answer.run.timeline
    if seen is None:
        return
    held = {"in the system": seen.in_system_requests, "of them in a batch": seen.in_batch_requests}
    ttft = {"TTFT p50": seen.ttft_p50_s, "TTFT p95": seen.ttft_p95_s}
    tpot = {"TPOT p50": seen.tpot_p50_s, "TPOT p95": seen.tpot_p95_s}
    yield Plot("Requests: running and waiting", lambda: over_time(seen, held, "requests"))
    yield Plot("KV cache in use", lambda: over_time(seen, {"KV cache": seen.kv_use_ratio * 100.0}, "% of the pool"))
    yield Plot("Output", lambda: over_time(seen, {"output": seen.output_tokens_per_s}, "tokens/s"))
    yield Plot("Replicas paid", lambda: over_time(seen, {"replicas": seen.replica_count}, "replicas"))
    yield Plot("Time to first token", lambda: over_time(seen, ttft, "s", limit=asked.ttft_s))
    yield Plot("Time per output token", lambda: over_time(seen, tpot, "s", limit=asked.tpot_s))


def _latencies(answer: TrafficAnswer) -> Iterator[dict[str, str]]:
    for metric in METRICS:
        row = {"latency": metric.upper()}
        found = answer.run.percentiles_s(metric)
        for name in _SHOWN:
            spread = answer.ranges.get(f"{metric}_{name}_s")
            if spread is None or (metric in _QUEUED and _cannot_keep_up(answer)):
                row[name] = format_quantity(found[name], "s")
            else:
                row[name] = joined(*span(spread.p10, found[name], spread.p90, "s"))
        yield row


def _cannot_keep_up(answer: TrafficAnswer) -> bool:
    return bool(answer.ranges) and answer.overloaded_probability > HALF


def _overload(answer: TrafficAnswer) -> Iterator[str]:
    if _cannot_keep_up(answer):
        yield (
            f"the fleet cannot keep up in {format_quantity(answer.overloaded_probability, 'ratio')} of the draws: its "
            f"queue, and with it TTFT and E2E, grows as long as the load lasts, here {answer.run.num_requests:,} "
            "requests; give more replicas or a lower rate"
        )


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


def _spent(answer: TrafficAnswer) -> Iterator[tuple[str, str]]:
    if answer.run.num_requests:
        each = answer.energy.per(answer.run.num_requests)
        for name, label in (
            ("device_j", "devices"),
            ("host_j", "their hosts"),
            ("cooling_j", "cooling and supply (PUE)"),
        ):
            yield f"energy per request: {label}", format_quantity(getattr(each, name), "j")
    for name, label in (
        ("usd_per_request", "USD per 1,000 requests"),
        ("usd_per_output_mtoken", "USD per Mtoken generated"),
        ("usd_per_hour", "USD per hour"),
    ):
        if name in answer.usd:
            held = answer.usd[name]
            yield label, ranged(held, "usd_per_request") if name == "usd_per_request" else ranged(held, "usd")


def _notes(answer: TrafficAnswer) -> Iterator[str]:
    yield "ranges are p10 to p90 over draws of the step-time residual, each simulated; of money, over providers"
    if 0 < answer.drawn_requests < answer.run.num_requests:
        yield f"each draw simulates the first {answer.drawn_requests:,} requests of the load"
    if answer.kv_transfer_s:
        yield transfer_note(answer.kv_transfer_s)
    if answer.rent is not None:
        yield rent(answer.rent)
    yield f"not modelled: {'; '.join(NOT_MODELLED)}"
    yield f"simulated in {amount(answer.elapsed_s, 's')}"


def transfer_note(kv_transfer_s: float) -> str:
    """Return what is said of KV caches that travel from prefill to decode workers."""
    return (
        f"KV cache of a mean prompt from prefill to decode worker: {format_quantity(kv_transfer_s, 's')}, part of the "
        "time to the second token; not charged, as nobody bills for what stays within a cluster"
    )
