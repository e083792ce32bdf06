"""Latency against load as a part of a page: a table of HTML, every word escaped."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from steelyard.compare.serving.by_load import LatencyByLoad
from steelyard.report.page import cell, esc, folded, listed, row, table
from steelyard.report.text import joined, parts, ranged

MOST_ROWS = 25


def latency(found: LatencyByLoad) -> Iterator[str]:
    """Yield each level of load with its percentiles, their ranges, and what it costs."""
    first = found.answers[0]
    yield f"<p>{esc(first.title)}, requests like those of {esc(found.question.load)}.</p>"
    rows = {}
    for level, answer in zip(found.level_ratios, found.answers, strict=True):
        cells = {"requests a second": f"{answer.run.request_rate_per_s:.3g}"}
        for metric in ("ttft", "tpot"):
            for percentile in (50, 95, 99):
                known = answer.ranges.get(f"{metric}_p{percentile}_s")
                shown = joined(*parts(known, "s")) if known else "-"
                cells[f"{metric.upper()} p{percentile}"] = shown
        cells["a request"] = ranged(answer.usd.get("usd_per_request"), "usd_per_request")
        cells["objective"] = "missed: " + answer.misses[0].told if answer.misses else "kept"
        rows[f"{level:.0%} of capacity"] = cells
    yield from _table(rows)
    yield listed(first.warnings) if first.warnings else ""
    yield folded("a step at the least load", first.breakdown["step"])


def _table(rows: Mapping[str, Mapping[str, str]]) -> Iterator[str]:
    headings = next(iter(rows.values()), {})
    yield from table(("", *headings), (row(esc(name), _cells(cells)) for name, cells in rows.items()))


def _cells(cells: Mapping[str, str]) -> Iterable[str]:
    return (cell(esc(words), name) for name, words in cells.items())
