"""What a load saw, for people and as JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from steelyard.compare.measured import Row
from steelyard.measure.load.sweep import Sweep
from steelyard.records.serving_metrics import ServingMetrics, Spread
from steelyard.report.json_document import document, dump
from steelyard.report.listing import table
from steelyard.report.measured import beside_rows
from steelyard.units import format_number, format_quantity

_TIMES = {"ttft": "TTFT", "tpot": "TPOT", "itl": "ITL", "e2e": "E2E"}


def load_text(
    found: ServingMetrics, label: str, *, limited: bool, beside: Sequence[Row] = (), width: int | None = None
) -> str:
    """Return the rates and the percentiles of one load, and what was predicted for it as a second table."""
    lines = [
        label,
        f"{found.num_answered:,} of {found.num_requests:,} requests answered in {_time(found.elapsed_s)}; "
        f"{_rate(found.request_rate_per_s)} requests/s, {_rate(found.input_tokens_per_s)} input tokens/s, "
        f"{_rate(found.output_tokens_per_s)} output tokens/s; "
        f"{_rate(found.mean_in_system_requests)} in the system on average",
    ]
    if limited:
        lines.append(
            f"Goodput {_rate(found.goodput_request_per_s)} requests/s: "
            f"{format_quantity(found.slo_attainment_ratio, 'ratio')} of requests within the objective"
        )
    if found.errors:
        lines.append("Failed: " + ", ".join(f"{count:,} {kind}" for kind, count in found.errors.items()))
    rows = [_row(shown, getattr(found, name)) for name, shown in _TIMES.items()]
    predicted = f"\n{beside_rows(beside, width=width)}" if beside else ""
    return "\n".join(lines) + "\n\n" + table(rows, width=width) + predicted


def _row(name: str, found: Spread) -> dict[str, str]:
    cells = {f"p{level:g}": _time(value) for level, value in found.percentiles_s.items()}
    return {"": name, "mean": _time(found.mean_s)} | cells


def sweep_text(found: Sweep, label: str, *, width: int | None = None) -> str:
    """Return the rates tried and the knee between them."""
    rows = [
        {
            "rate": f"{_rate(point.offered_request_rate_per_s)}/s",
            "sustained": "yes" if point.sustained else "no",
            "answered": f"{_rate(point.metrics.request_rate_per_s)}/s",
            "output tokens/s": _rate(point.metrics.output_tokens_per_s),
            "within objective": format_quantity(point.metrics.slo_attainment_ratio, "ratio"),
            "TTFT p50": _time(point.metrics.ttft.percentiles_s[50.0]),
            "TTFT p95": _time(point.metrics.ttft.percentiles_s[95.0]),
            "TPOT p50": _time(point.metrics.tpot.percentiles_s[50.0]),
            "E2E p95": _time(point.metrics.e2e.percentiles_s[95.0]),
        }
        for point in found.points
    ]
    alone = found.unloaded
    head = (
        f"{label}\nKnee at {_rate(found.knee_request_rate_per_s)} requests/s ({found.criterion})\n"
        f"One user alone: TTFT {_time(alone.ttft.percentiles_s[50.0])}, "
        f"TPOT {_time(alone.tpot.percentiles_s[50.0])}, E2E {_time(alone.e2e.percentiles_s[50.0])} at the median"
    )
    return f"{head}\n\n" + table(rows, width=width)


def load_json(inputs: Mapping[str, Any], result: Any, warnings: Sequence[str]) -> str:
    """Return what a load saw as one document."""
    return dump(
        document("steelyard/measure-serve/1", inputs=inputs, result=result, breakdown={}, sources=(), warnings=warnings)
    )


def _time(value_s: float) -> str:
    return format_quantity(value_s, "s") if value_s == value_s else "-"  # noqa: PLR0124 - NaN


def _rate(value: float) -> str:
    return format_number(value)
