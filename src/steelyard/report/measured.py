"""A trial of both activities, measured beside predicted: for people, as Markdown and as JSON."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from steelyard.compare.measured import MeasuredComparison, Row
from steelyard.records.estimate import Estimate
from steelyard.report.json_document import document, dump
from steelyard.report.listing import table
from steelyard.units import format_quantity

SCHEMA = "steelyard/compare-measured/1"
_HEAD = ("factor", "", "quantity", "measured", "predicted", "p10 to p90", "predicted is", "note")


def measured_text(found: MeasuredComparison, machine: str, *, width: int | None = None) -> str:
    """Return the seven factors as a table, and the answer of the model."""
    return f"{_title(found, machine)}\n\n{table(_cells(found.rows), width=width)}\n{_answer(found)}\n"


def measured_markdown(found: MeasuredComparison, machine: str) -> str:
    """Return the same as Markdown."""
    lines = [f"| {' | '.join(_HEAD)} |", "|" + " --- |" * len(_HEAD)]
    lines += [f"| {' | '.join(row.get(name, '').replace('|', '/') for name in _HEAD)} |" for row in _cells(found.rows)]
    title = _title(found, machine).replace("\n", "\n\n")
    answer = f"Asked for what follows `{found.trial.prompt}`, it answered:"
    fence = "````"
    shown = f"{answer}\n\n{fence}python\n{found.trial.prompt}{found.trial.answer}\n{fence}"
    return f"# One small model, trained and served here\n\n{title}\n\n" + "\n".join(lines) + f"\n\n{shown}\n"


def measured_json(
    found: MeasuredComparison, machine: str, *, inputs: Mapping[str, Any], warnings: Iterable[str] = ()
) -> str:
    """Return the same as one document."""
    result = {"machine": machine} | found.to_dict()
    return dump(document(SCHEMA, inputs=inputs, result=result, breakdown={}, sources=(), warnings=warnings))


def beside_rows(rows: Sequence[Row], *, width: int | None = None) -> str:
    """Return a few quantities measured beside predicted, as a table."""
    cells = [{name: cell for name, cell in row.items() if name not in {"factor", ""}} for row in _cells(rows)]
    return table(cells, width=width)


def _title(found: MeasuredComparison, machine: str) -> str:
    trained = found.trial.training
    return (
        f"{machine}: a model of {format_quantity(found.worth.params, 'param')} trained on "
        f"{format_quantity(found.worth.tokens, 'token')} of Python's own source text, then served by llama.cpp.\n"
        f"Trained by {trained.threads} threads; ranks and replicas that are compared have one each."
    )


def _cells(rows: Sequence[Row]) -> list[dict[str, str]]:
    return [
        {
            "factor": row.factor.replace("_", " "),
            "": row.side,
            "quantity": row.label,
            "measured": "not measurable here" if row.measured is None else _shown(row.measured, row.unit),
            "predicted": "" if row.predicted is None else _shown(row.predicted.p50, row.unit),
            "p10 to p90": _range(row.predicted, row.unit),
            "predicted is": "" if row.error_ratio is None else _off(row),
            "note": row.note,
        }
        for row in rows
    ]


def _shown(value: float, unit: str) -> str:
    return format_quantity(value, unit or "count")


def _range(predicted: Estimate | None, unit: str) -> str:
    return "" if predicted is None else f"{_shown(predicted.p10, unit)} to {_shown(predicted.p90, unit)}"


def _off(row: Row) -> str:
    """Return how far the prediction is off: in points for shares, else relative to what was measured."""
    if row.unit == "ratio" and row.predicted is not None and row.measured is not None:
        return f"{(row.predicted.p50 - row.measured) * 100:+.0f} points"
    return f"{row.error_ratio or 0.0:+.0%}"


def _answer(found: MeasuredComparison) -> str:
    text = "\n".join(f"  {line}" for line in (found.trial.prompt + found.trial.answer).splitlines())
    told = f"Asked over HTTP for what follows {found.trial.prompt!r}, the model answered:\n\n{text}\n"
    other = found.trial.pretrained
    if other is None:
        return told
    return f"{told}\n{other.name}, asked for what follows {other.prompt!r}: {other.answer.strip()!r}\n"
