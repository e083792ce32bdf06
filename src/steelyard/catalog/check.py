"""What is wrong or doubtful in the catalogue: broken files, old figures, disagreements, assumptions."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date

from steelyard.catalog.files import FOLDERS, overlay, unread
from steelyard.catalog.load import (
    load_accelerators,
    load_calibration,
    load_models,
    load_sources,
    load_workloads,
)
from steelyard.catalog.schema import DISAGREE, schemas
from steelyard.catalog.tables import Row, Table, load_table, table_names
from steelyard.errors import SteelyardError
from steelyard.records.figure import Figure
from steelyard.records.model import ModelRecord

LEVELS = ("error", "warning", "note")


@dataclass(frozen=True, slots=True, kw_only=True)
class Issue:
    """One finding. An "error" breaks predictions, a "warning" is doubtful, a "note" only has to be known."""

    level: str
    kind: str
    record: str
    field: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Holding:
    """The figures of one record or table, and the dates and sources of what is in it."""

    kind: str
    record: str
    figures: tuple[tuple[str, Figure], ...]
    dates: tuple[tuple[str, date], ...]
    sources: frozenset[str]
    max_age_days: int | None = None
    assumed_because: str = ""  # why the configuration of a model is assumed


def check(today: date) -> list[Issue]:
    """Return all findings, the worst first.

    Args:
        today: The date against which ages are counted; passed in, so that an answer can be repeated.

    Example:
        >>> from datetime import date
        >>> any(issue.level == "error" for issue in check(date(2026, 11, 26)))
        False
    """
    issues: list[Issue] = []
    used: set[str] = set()
    for kind in ("accelerators", "models", "workloads", "calibration", *table_names()):
        try:
            for holding in holdings(kind, overlay()):
                used |= holding.sources
                issues += _ages(holding, today)
                issues += _disagreements(holding)
                issues += _assumptions(holding)
        except SteelyardError as error:
            issues.append(Issue(level="error", kind=kind, record="", field="", message=str(error)))
    for path in unread(overlay()):
        message = f"is not read; folders are {', '.join(FOLDERS)}"
        issues.append(Issue(level="warning", kind="folder", record=str(path), field="", message=message))
    for name in sorted(set(load_sources(overlay())) - used):
        issues.append(Issue(level="note", kind="sources", record=name, field="", message="no figure cites it"))
    return sorted(issues, key=lambda issue: LEVELS.index(issue.level))


def holdings(kind: str, folders: str) -> Iterator[Holding]:
    """Yield what each record of a kind, or a whole table, holds."""
    rules = schemas("schema.toml")
    if kind == "accelerators":
        for item in load_accelerators(folders).records.values():
            yield _of_figures(kind, item.id, item.figures, rules[kind].max_age_days)
    elif kind == "workloads":
        for preset in load_workloads(folders).records.values():
            yield _of_figures(kind, preset.id, preset.figures, rules[kind].max_age_days)
    elif kind == "calibration":
        for name, figures in load_calibration(folders).items():
            yield _of_figures(kind, name, figures, rules[kind].max_age_days)
    elif kind == "models":
        for model in load_models(folders).records.values():
            yield _of_model(kind, model)
    else:
        yield _of_table(load_table(kind, folders))


def _of_figures(kind: str, record: str, figures: Mapping[str, Figure], max_age_days: int | None) -> Holding:
    return Holding(
        kind=kind,
        record=record,
        figures=tuple(figures.items()),
        dates=tuple((name, figure.as_of) for name, figure in figures.items()),
        sources=_cited(figures.values()),
        max_age_days=max_age_days,
    )


def _of_model(kind: str, model: ModelRecord) -> Holding:
    return Holding(
        kind=kind,
        record=model.id,
        figures=(),
        dates=(("config", model.as_of),),
        sources=frozenset(model.source.split(" + ")),
        assumed_because=model.note if model.basis == "assumed" else "",
    )


def _of_table(each: Table) -> Holding:
    figures = tuple((f"{_line(row)} {name}", figure) for row in each.rows for name, figure in row.figures.items())
    return Holding(
        kind="tables",
        record=each.name,
        figures=figures,
        dates=tuple((_line(row), row.as_of) for row in each.rows),
        sources=frozenset(name for row in each.rows for name in row.source.split(" + "))
        | _cited(figure for _, figure in figures),
        max_age_days=each.schema.max_age_days,
    )


def _line(row: Row) -> str:
    """Return the line of a shipped row, whose file is that of the table, or file and line of a user's."""
    return row.where.rpartition(": ")[2] if row.origin == "shipped" else row.where


def _cited(figures: Iterable[Figure]) -> frozenset[str]:
    return frozenset(name for figure in figures for name in figure.source.split(" + "))


def _ages(holding: Holding, today: date) -> Iterator[Issue]:
    at = {"kind": holding.kind, "record": holding.record}
    for name, when in holding.dates:
        if when > today:
            yield Issue(level="error", **at, field=name, message=f"is dated {when}, after today ({today})")
    limit = holding.max_age_days
    old = [(when, name) for name, when in holding.dates if limit is not None and (today - when).days > limit]
    if old:
        oldest, name = min(old, key=lambda dated: dated[0])
        message = f"{len(old)} of {len(holding.dates)} are older than {limit} days, the oldest of {oldest}"
        yield Issue(level="warning", **at, field=name, message=message)


def _disagreements(holding: Holding) -> Iterator[Issue]:
    for name, figure in holding.figures:
        if figure.note.startswith(DISAGREE):
            yield Issue(level="warning", kind=holding.kind, record=holding.record, field=name, message=figure.note)


def _assumptions(holding: Holding) -> Iterator[Issue]:
    at = {"kind": holding.kind, "record": holding.record}
    if holding.assumed_because:
        yield Issue(level="note", **at, field="config", message=f"is assumed: {holding.assumed_because}")
    assumed = [name for name, figure in holding.figures if figure.basis == "assumed"]
    if assumed:
        shown = ", ".join(assumed[:4]) + (f" and {len(assumed) - 4} more" if len(assumed) > 4 else "")
        message = f"{len(assumed)} of {len(holding.figures)} figures are assumed: {shown}"
        yield Issue(level="note", **at, field="", message=message)
