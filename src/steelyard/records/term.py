"""Terms: every result is a record of named arrays whose label, unit, formula and source are registered once.

A result record is a frozen dataclass whose fields are declared with `term(...)`. Computing it costs nothing extra;
`explain` turns the one configuration asked about into a tree.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from steelyard.records.figure import Figure


@dataclass(frozen=True, slots=True, kw_only=True)
class Term:
    """One node of an explanation: what it is, its value in SI, how it came about and from where."""

    label: str
    value: float | str
    unit: str = ""
    formula: str = ""
    source: str = ""
    children: tuple[Term, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        own: dict[str, Any] = {"label": self.label, "value": self.value, "unit": self.unit}
        if self.formula:
            own["formula"] = self.formula
        if self.source:
            own["source"] = self.source
        if self.children:
            own["children"] = [child.to_dict() for child in self.children]
        return own

    def walk(self) -> Iterator[Term]:
        """Yield this term and all below it, depth first."""
        yield self
        for child in self.children:
            yield from child.walk()


def term(label: str, unit: str, formula: str = "", source: str = "", parts: tuple[str, ...] = ()) -> Any:
    """Declare a field of a result record as a term.

    Args:
        label: What it is, in the field's words.
        unit: SI suffix ("s", "bytes", "usd", "ratio").
        formula: How it is computed, in the names of its parts.
        source: Paper, standard or catalogue source behind the formula.
        parts: Names of fields of the same record that it is computed from; a part that is itself a record of terms
            is explained by its first field.
    """
    return dataclasses.field(
        metadata={"term": {"label": label, "unit": unit, "formula": formula, "source": source, "parts": parts}}
    )


def explain(record: Any, name: str | None = None, *, index: tuple[int, ...] | None = None) -> Term:
    """Return the tree behind one field of a result record (its first field when `name` is None).

    `index` picks one configuration out of array fields; without it, the middle one is shown.
    """
    fields = {field.name: field for field in dataclasses.fields(record) if "term" in field.metadata}
    if not fields:
        raise TypeError(f"{type(record).__name__} declares no terms")
    field = fields[name] if name is not None else next(iter(fields.values()))
    about = field.metadata["term"]
    children = []
    for part in about["parts"]:
        value = getattr(record, part)
        if isinstance(value, Term):
            children.append(value)
        elif isinstance(value, Figure):
            children.append(figure_term(part, value))
        elif dataclasses.is_dataclass(value) and not isinstance(value, type):
            children.append(explain(value, index=index))
        else:
            children.append(explain(record, part, index=index))
    return Term(
        label=about["label"],
        value=pick(getattr(record, field.name), index),
        unit=about["unit"],
        formula=about["formula"],
        source=about["source"],
        children=tuple(children),
    )


def pick(value: Any, index: tuple[int, ...] | None = None) -> float | str:
    """Return one number of an array (the median when no index is given), or the text itself."""
    if isinstance(value, str):
        return value
    array = np.asarray(value, dtype=np.float64)
    if index is not None and array.ndim:
        trimmed = tuple(0 if size == 1 else i for size, i in zip(array.shape, index[-array.ndim :], strict=True))
        return float(array[trimmed])
    return float(np.median(array))


def figure_term(label: str, figure: Figure) -> Term:
    """Return the leaf of a tree for a catalogue figure: its value with source, date and basis."""
    note = f"; {figure.note}" if figure.note else ""
    return Term(
        label=label,
        value=figure.value,
        unit=figure.unit,
        source=f"{figure.source} ({figure.as_of.isoformat()}, {figure.basis}{note})",
    )
