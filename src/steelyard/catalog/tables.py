"""Tables of the catalogue: one CSV file each, every row with its source, date and basis."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from steelyard.catalog.files import DataFile, data_files, overlay, read_csv
from steelyard.catalog.load import load_sources
from steelyard.catalog.schema import Schema, checked_source, parse_date, parse_figure, refuse, schemas
from steelyard.errors import CatalogError, UnknownError, unknown
from steelyard.records.figure import Figure, Source

PROVENANCE = ("source", "as_of", "basis")
COMMON = (*PROVENANCE, "assumed", "note", "unit")


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One row: its text cells, and the figures that it states (a figure that is absent was not stated)."""

    table: str
    text: Mapping[str, str]
    figures: Mapping[str, Figure]
    as_of: date
    where: str  # file and line
    origin: str = "shipped"

    @property
    def source(self) -> str:
        return self.text["source"]

    @property
    def basis(self) -> str:
        return self.text["basis"]

    def __getitem__(self, column: str) -> str:
        return self.text[column]

    def get(self, column: str, default: str = "") -> str:
        """Return a text cell, or `default` where it is empty or absent."""
        return self.text.get(column) or default

    def figure(self, column: str) -> Figure | None:
        """Return a figure, or None where the row does not state it."""
        return self.figures.get(column)

    def value(self, column: str) -> float:
        """Return a figure's value in SI.

        Raises:
            CatalogError: The row does not state it.
        """
        if column not in self.figures:
            raise CatalogError(f"{self.where}: {column} is not stated")
        return self.figures[column].value


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A table: its rows in the order of the file, a user's rows last."""

    name: str
    rows: tuple[Row, ...]
    schema: Schema
    index: dict[tuple[str, ...], dict[tuple[str, ...], tuple[Row, ...]]] = field(
        default_factory=dict, compare=False, repr=False
    )  # columns asked for so far -> their folded cells -> rows

    def where(self, **text_equals: str) -> tuple[Row, ...]:
        """Return the rows whose text cells equal all those asked for, whatever the case.

        Raises:
            KeyError: The table can have no such column.
        """
        if extra := set(text_equals) - {*self.schema.text, *self.schema.optional_text, *COMMON}:
            raise KeyError(f"table {self.name} has no text column {min(extra)!r}")
        columns = tuple(sorted(text_equals))
        if columns not in self.index:
            self.index[columns] = self._by(columns)
        return self.index[columns].get(tuple(text_equals[column].casefold() for column in columns), ())

    def _by(self, columns: tuple[str, ...]) -> dict[tuple[str, ...], tuple[Row, ...]]:
        found: dict[tuple[str, ...], list[Row]] = {}
        for row in self.rows:
            found.setdefault(tuple(row.get(column).casefold() for column in columns), []).append(row)
        return {cells: tuple(rows) for cells, rows in found.items()}


def table(name: str) -> Table:
    """Return a table by name.

    Raises:
        UnknownError: There is no such table.
        CatalogError: A row breaks the schema; the message names file, line and column.
    """
    return load_table(name, overlay())


def table_names() -> tuple[str, ...]:
    return tuple(sorted({file.id for file in data_files("tables", ".csv", overlay())}))


@functools.lru_cache(maxsize=64)
def load_table(name: str, folders: str) -> Table:
    """Return a table; a user's rows replace those with the same key cells, or are added."""
    files = [file for file in data_files("tables", ".csv", folders) if file.id == name]
    known = schemas("tables/schema.toml")
    if files and name not in known:
        refuse(files[0].label, f"there is no table of this name; they are {', '.join(sorted(known))}")
    if not files:
        raise UnknownError(unknown("table", name, known, next_step="see `steelyard catalog list tables`"))
    schema = known[name]
    sources = load_sources(folders)
    rows: list[Row] = []
    for file in files:
        read = _rows(file, schema, sources)
        if file.origin == "user":
            rows = _replaced(rows, read, schema.key or schema.text)
        rows += read
    return Table(name=name, rows=tuple(rows), schema=schema)


def _replaced(rows: list[Row], by: list[Row], key: tuple[str, ...]) -> list[Row]:
    """Return the rows that no row of `by` replaces: one with the same key cells."""
    taken = {tuple(row.get(column).casefold() for column in key) for row in by}
    return [row for row in rows if tuple(row.get(column).casefold() for column in key) not in taken]


def _rows(file: DataFile, schema: Schema, sources: Mapping[str, Source]) -> list[Row]:
    header, lines = read_csv(file)
    columns = [_column(cell, schema, file) for cell in header]
    names = [name for name, _ in columns]
    if len(set(names)) != len(names):
        refuse(file.label, "two columns have the same name")
    required = [name for name, rule in schema.figures.items() if rule.required and schema.inherits not in names]
    for needed in (*schema.text, *PROVENANCE, *required):
        if needed not in names:
            refuse(file.label, f"has no column {needed!r}")
    units = {name: unit for name, unit in columns if name in schema.figures}
    return [_row(dict(zip(names, cells, strict=True)), units, schema, file, line, sources) for line, cells in lines]


def _column(cell: str, schema: Schema, file: DataFile) -> tuple[str, str]:
    """Return a header cell's name and unit ("" = none, or that of the row)."""
    name, _, unit = cell.rstrip("]").partition("[")
    name, unit = name.strip(), unit.strip()
    if unit and name not in schema.figures:
        refuse(
            f"{file.label}: column {name!r}",
            f"is no figure of this table; they are {', '.join(schema.figures)}",
        )
    if name not in (*schema.figures, *schema.text, *schema.optional_text, *COMMON):
        allowed = ", ".join((*schema.text, *schema.optional_text, *COMMON, *schema.figures))
        refuse(f"{file.label}: column {name!r}", f"is unknown; allowed are {allowed}")
    return name, unit


def _row(
    cells: dict[str, str],
    units: Mapping[str, str],
    schema: Schema,
    file: DataFile,
    line: int,
    sources: Mapping[str, Source],
) -> Row:
    where = f"{file.label}: line {line}"
    for column in (*schema.text, *PROVENANCE):
        if not cells[column]:
            refuse(where, f"has no {column}")
    text = {name: cell for name, cell in cells.items() if name not in units}
    checked_source(cells["source"], where, sources)
    assumed = {name.strip() for name in cells.get("assumed", "").split(";") if name.strip()}
    if extra := assumed - set(units):
        refuse(where, f"assumed names {min(extra)!r}, which is no figure column")
    figures: dict[str, Figure] = {}
    for name, unit in units.items():
        if cells[name]:
            figures[name] = _cell(name, unit, cells, assumed, where, schema, sources)
        elif schema.figures[name].required and not cells.get(schema.inherits):
            refuse(where, f"has no {name}")
    return Row(
        table=file.id,
        text=text,
        figures=figures,
        as_of=parse_date(cells["as_of"], where),
        where=where,
        origin=file.origin,
    )


def _cell(
    name: str,
    unit: str,
    cells: Mapping[str, str],
    assumed: set[str],
    where: str,
    schema: Schema,
    sources: Mapping[str, Source],
) -> Figure:
    """Return one figure of a row; `low`/`high` (or `<name>_low`/`<name>_high`) are its spread."""
    note = cells.get("note", "")
    basis = cells["basis"]
    if name in assumed:
        basis, note = "assumed", note or "marked as assumed in the table"
    spread = {side: cells.get(side if name == "value" else f"{name}_{side}", "") for side in ("low", "high")}
    raw: dict[str, Any] = {
        "value": cells[name],
        "unit": unit or cells.get("unit", ""),
        "source": cells["source"],
        "as_of": cells["as_of"],
        "basis": basis,
        "note": note,
        **spread,
    }
    if basis == "estimated" and not all(spread.values()) and note:
        # The note of the row says how sure the estimate is; one column cannot carry a spread of every figure.
        raw["low"] = raw["low"] or cells[name]
        raw["high"] = raw["high"] or cells[name]
    return parse_figure(raw, where=f"{where}: {name}", rule=schema.figures[name], sources=sources)
