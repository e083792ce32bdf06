"""What the catalogue holds, as tables for people and as JSON."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from steelyard.catalog import Description, FigureLine, Issue
from steelyard.report.json_document import document, dump
from steelyard.report.text import clean
from steelyard.units import format_quantity

UNFOLDED = 10_000  # off a terminal every record stays on one line, for grep


def table(rows: Sequence[Mapping[str, str]], *, width: int | None = None) -> str:
    """Return rows as a table, folded to a terminal's width when there is one."""
    if not rows:
        return "nothing\n"
    columns = list(dict.fromkeys(name for row in rows for name in row))
    columns = [name for name in columns if any(row.get(name) for row in rows)]
    shown = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, padding=(0, 1))
    for name in columns:
        shown.add_column(Text(name), overflow="fold")
    for row in rows:
        shown.add_row(*(Text(clean(row.get(name, ""))) for name in columns))
    return _printed(shown, width)


def _printed(shown: Any, width: int | None) -> str:
    screen = Console(width=width or UNFOLDED, force_terminal=False, color_system=None, legacy_windows=False)
    with screen.capture() as captured:
        screen.print(shown)
    return "\n".join(line.rstrip() for line in captured.get().splitlines()) + "\n"


def description(found: Description, *, width: int | None = None) -> str:
    """Return one record: its facts, then every figure with source, date and basis."""
    head = f"{clean(found.name)}\n{found.kind} {clean(found.id)}, {found.origin}\n"
    facts = "".join(f"{name}: {clean(text)}\n" for name, text in found.facts.items())
    if not found.figures:
        return head + facts
    return head + facts + "\n" + table([_figure_row(line) for line in found.figures], width=width)


def _figure_row(line: FigureLine) -> dict[str, str]:
    between = "" if line.low is None or line.high is None else _between(line.low, line.high, line.unit)
    return {
        "figure": line.field,
        "value": format_quantity(line.value, line.unit),
        "range": between,
        "basis": line.basis,
        "as of": line.as_of.isoformat(),
        "source": line.source,
        "note": line.note,
    }


def _between(low: float, high: float, unit: str) -> str:
    return f"{format_quantity(low, unit)} to {format_quantity(high, unit)}"


def issue_row(issue: Issue) -> dict[str, str]:
    """Return a finding of the check as a row."""
    return dataclasses.asdict(issue)


def issues(rows: Sequence[Mapping[str, str]], *, width: int | None = None) -> str:
    """Return the findings, worst first, and how many of each level there are."""
    counts = Counter(row["level"] for row in rows)
    levels = ("error", "warning", "note")
    total = ", ".join(f"{counts[level]} {level}{'' if counts[level] == 1 else 's'}" for level in levels)
    return (table(rows, width=width) + "\n" if rows else "") + total + "\n"


def as_json(command: str, asked: str | None, result: Any) -> str:
    """Return what a catalogue command found as one document."""
    found = [result] if isinstance(result, Mapping) else result
    cited = {name for item in found for name in _cited(item)}
    return dump(
        document(
            f"steelyard/catalog-{command}/1",
            inputs={"asked": asked},
            result=result,
            breakdown={},
            sources=sorted(cited),
        )
    )


def _cited(item: Mapping[str, Any]) -> Iterable[str]:
    for line in (item, *item.get("figures", ())):
        if isinstance(line.get("source"), str):
            yield from line["source"].split(" + ")
