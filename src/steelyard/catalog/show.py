"""One record of the catalogue with every figure and where it came from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import date
from typing import Any

from steelyard.catalog.files import overlay
from steelyard.catalog.find import Collected, fold
from steelyard.catalog.lists import RECORD_KINDS, kinds
from steelyard.catalog.load import (
    load_accelerators,
    load_calibration,
    load_models,
    load_sources,
    load_workloads,
)
from steelyard.catalog.stored import stored_as
from steelyard.catalog.tables import Row, Table, table, table_names
from steelyard.errors import UnknownError, unknown
from steelyard.records.figure import Figure


@dataclass(frozen=True, slots=True, kw_only=True)
class FigureLine:
    """One figure with its whole provenance; `value`, `low` and `high` in SI."""

    field: str
    value: float
    unit: str
    basis: str
    as_of: date
    source: str  # ids
    title: str  # of the sources
    low: float | None = None
    high: float | None = None
    note: str = ""

    def to_dict(self) -> dict[str, Any]:
        return {**asdict(self), "as_of": self.as_of.isoformat()}


@dataclass(frozen=True, slots=True, kw_only=True)
class Description:
    """One record of the catalogue, or the rows of its tables that answer to a name."""

    kind: str
    id: str
    name: str
    origin: str
    facts: Mapping[str, str]  # what is text: vendor, aliases, licence, notes
    figures: tuple[FigureLine, ...]

    def to_dict(self) -> dict[str, Any]:
        own = {
            "kind": self.kind,
            "id": self.id,
            "name": self.name,
            "origin": self.origin,
            "facts": dict(self.facts),
        }
        return {**own, "figures": [line.to_dict() for line in self.figures]}


def describe(ref: str, kind: str | None = None) -> Description:
    """Return a record with every figure, its unit, source, date and basis.

    Args:
        ref: Id or alias of a record, the name of a table, key cells of its rows ("openai/gpt-5.6"), a record's name as
            people write it, or one key cell; the first of these that there is.
        kind: One of `kinds()`; all are searched when None.

    Raises:
        UnknownError: Nothing answers to the name; the message names the nearest.

    Example:
        >>> lines = {line.field: line for line in describe("h100").figures}
        >>> lines["hbm_bytes"].value, lines["idle_w"].basis
        (80000000000.0, 'assumed')
    """
    if kind is not None and kind not in kinds():
        raise UnknownError(unknown("kind of record", kind, kinds()))
    for name in kinds() if kind is None else (kind,):
        found = _record(ref, name) if name in RECORD_KINDS else None
        if found is not None:
            return found
    tables = [table(name) for name in table_names() if kind in (None, "tables", name)]
    if rows := _rows(ref, tables, slice(2)):
        return _rows_described(ref, kind, rows)
    for name in RECORD_KINDS[:3]:
        if kind in (None, name) and _collected(name).meant(ref):
            return _record_described(name, _collected(name).get(ref))
    if rows := _rows(ref, tables, slice(2, None)):
        return _rows_described(ref, kind, rows)
    stored = stored_as(ref, load_models(overlay())) if kind in (None, "models") else None
    if stored is not None:
        facts = {part: text for part, text in _facts(stored).items() if text}
        return _described("models", stored.id, stored.name, "", facts, {})
    raise UnknownError(unknown(kind or "record", ref, set(_all_names(kind, tables)), next_step=_NEXT))


_NEXT = "`steelyard catalog list` shows what there is"


def _record(ref: str, kind: str) -> Description | None:
    if kind == "calibration":
        figures = load_calibration(overlay()).get(ref)
        return None if figures is None else _described(kind, ref, ref, "", {}, figures)
    if kind == "sources":
        source = load_sources(overlay()).get(ref)
        if source is None:
            return None
        facts = {part: text for part, text in asdict(source).items() if part not in ("id", "title") and text}
        return _described(kind, ref, source.title, "", facts, {})
    records = _collected(kind)
    name = records.names.get(fold(ref))
    return None if name is None else _record_described(kind, records.records[name])


def _record_described(kind: str, record: Any) -> Description:
    facts = {part: text for part, text in _facts(record).items() if text}
    figures = getattr(record, "figures", {})
    return _described(kind, record.id, record.name, _collected(kind).origin(record.id), facts, figures)


def _collected(kind: str) -> Collected[Any]:
    load: Any = {"accelerators": load_accelerators, "models": load_models, "workloads": load_workloads}[kind]
    found: Collected[Any] = load(overlay())
    return found


def _facts(record: Any) -> dict[str, str]:
    parts = ("vendor", "year", "memory_type", "licence", "source", "as_of", "basis", "note", "notes")
    facts = {part: str(getattr(record, part)) for part in parts if hasattr(record, part)}
    facts["aliases"] = ", ".join(record.aliases)
    if hasattr(record, "config"):
        facts["config"] = ", ".join(f"{key}={value}" for key, value in record.config.items())
    return facts


def _described(
    kind: str, ref: str, name: str, origin: str, facts: Mapping[str, str], figures: Mapping[str, Figure]
) -> Description:
    lines = tuple(_line(field, figure) for field, figure in figures.items())
    return Description(kind=kind, id=ref, name=name, origin=origin or "shipped", facts=facts, figures=lines)


def _rows(ref: str, tables: list[Table], part: slice) -> list[tuple[Table, Row]]:
    """Return the rows that answer to `ref`, by that part of their names."""
    wanted = fold(ref)
    return [
        (each, row)
        for each in tables
        for row in each.rows
        if wanted == fold(each.name) or wanted in _names(each, row)[part]
    ]


def _rows_described(ref: str, kind: str | None, rows: list[tuple[Table, Row]]) -> Description:
    lines = [
        _line(f"{each.name} {_names(each, row)[0]} {field}", figure)
        for each, row in rows
        for field, figure in row.figures.items()
    ]
    origin = "user" if any(row.origin == "user" for _, row in rows) else "shipped"
    return Description(
        kind=kind or "tables",
        id=ref,
        name=ref,
        origin=origin,
        facts={"rows": str(len(rows))},
        figures=tuple(lines),
    )


def _line(field: str, figure: Figure) -> FigureLine:
    known = load_sources(overlay())
    return FigureLine(
        field=field,
        value=figure.value,
        unit=figure.unit,
        basis=figure.basis,
        as_of=figure.as_of,
        source=figure.source,
        title="; ".join(known[name].title for name in figure.source.split(" + ")),
        low=figure.low,
        high=figure.high,
        note=figure.note,
    )


def _names(each: Table, row: Row) -> tuple[str, ...]:
    """Return the names a row answers to: its key cells joined, the first two joined, each alone."""
    cells = [fold(row.get(column)) for column in each.schema.key or each.schema.text if row.get(column)]
    return ("/".join(cells), "/".join(cells[:2]), *cells)


def _all_names(kind: str | None, tables: list[Table]) -> Iterator[str]:
    for name in RECORD_KINDS[:3]:
        if kind in (None, name):
            for record in _collected(name).records.values():
                yield from (record.id, *record.aliases)
    if kind in (None, "calibration"):
        yield from load_calibration(overlay())
    if kind in (None, "sources"):
        yield from load_sources(overlay())
    for each in tables:
        yield from (name for row in each.rows for name in _names(each, row)[1:])
