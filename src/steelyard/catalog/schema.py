"""What a figure must carry: the rules of each field, and how raw text becomes a `Figure`.

Rules are data: `schema.toml` for records, `tables/schema.toml` for tables.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, NoReturn, cast

from steelyard.catalog.files import SHIPPED, DataFile, read_toml
from steelyard.errors import CatalogError, nearest
from steelyard.records.figure import BASES, Basis, Figure
from steelyard.units import parse_unit

FIGURE_KEYS = frozenset({"value", "unit", "source", "as_of", "basis", "low", "high", "note", "other"})
DEFAULT_KEYS = frozenset({"source", "as_of", "basis", "note"})
DISAGREE = "sources disagree"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """What a figure must be: SI suffix ("*" = any), plausible range in SI, whether each record needs it."""

    unit: str = "*"
    min: float = -math.inf
    max: float = math.inf
    required: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Schema:
    """The rules of one kind of record or of one table."""

    figures: Mapping[str, Rule]
    text: tuple[str, ...] = ()
    optional_text: tuple[str, ...] = ()
    key: tuple[str, ...] = ()
    inherits: str = ""  # the column naming what a row takes its empty cells from; such a row may leave any figure out
    max_age_days: int | None = None
    description: str = ""

    def rule(self, name: str) -> Rule | None:
        """Return the rule of a figure; `peak_flop_per_s.bf16` that of `peak_flop_per_s.*`, any that of `*`."""
        names = (name, f"{name.partition('.')[0]}.*", "*")
        return next((self.figures[one] for one in names if one in self.figures), None)


def refuse(where: str, problem: str) -> NoReturn:
    """Raise the one-line error of a record: where (file, record, field) and what is wrong with it."""
    raise CatalogError(f"{where}: {problem}")


@functools.cache
def schemas(name: str) -> Mapping[str, Schema]:
    """Return the schemas of one file ("schema.toml", "tables/schema.toml") by kind or table."""
    document = read_toml(DataFile(path=SHIPPED / name, origin="shipped"))
    return {kind: _schema(kind, raw) for kind, raw in document.items()}


def _schema(kind: str, raw: Mapping[str, Any]) -> Schema:
    try:
        parts: dict[str, Any] = {name: tuple(part) if isinstance(part, list) else part for name, part in raw.items()}
        rules = {name: Rule(**rule) for name, rule in raw.get("figures", {}).items()}
        return Schema(**{**parts, "figures": rules})
    except TypeError as error:
        raise CatalogError(f"schema of {kind}: {error}") from None


@functools.lru_cache(maxsize=1024)
def _unit(text: str) -> tuple[str, float]:
    return parse_unit(text)


@functools.lru_cache(maxsize=4096)
def _iso_date(text: str) -> date:
    year, _, rest = text.partition("-")
    month, _, day = rest.partition("-")
    return date(int(year), int(month or 1), int(day or 1))


def parse_date(raw: Any, where: str) -> date:
    """Return a date from YYYY, YYYY-MM or YYYY-MM-DD (the first day of what is left open)."""
    if isinstance(raw, datetime):
        return raw.date()
    if isinstance(raw, date):
        return raw
    try:
        if isinstance(raw, (str, int)) and not isinstance(raw, bool) and len(str(raw)) in {4, 7, 10}:
            return _iso_date(str(raw))
    except ValueError:
        pass
    return refuse(where, f"as_of is {raw!r}, not a date (YYYY, YYYY-MM or YYYY-MM-DD)")


def parse_figure(
    raw: Any, *, where: str, rule: Rule, sources: Collection[str], defaults: Mapping[str, Any] | None = None
) -> Figure:
    """Return the figure that `raw` states, in SI.

    Args:
        raw: Keys value, unit, source, as_of, basis; optional low, high, note, other (of other sources).
        where: File, record and field, for messages.
        rule: Unit and plausible range.
        sources: Known source ids.
        defaults: Values of source, as_of, basis, note for a figure that omits them.

    Raises:
        CatalogError: Something is missing, of the wrong dimension, implausible, or names an unknown source.
    """
    if not isinstance(raw, Mapping):
        refuse(
            where,
            "is not a figure; write { value = ..., unit = ..., source = ..., as_of = ..., basis = ... }",
        )
    if extra := set(raw) - FIGURE_KEYS:
        refuse(where, f"unknown key {min(extra)!r}; allowed are {', '.join(sorted(FIGURE_KEYS))}")
    stated = {**(defaults or {}), **raw}
    for part in ("value", "unit", "source", "as_of", "basis"):
        if stated.get(part) in (None, ""):
            refuse(where, f"has no {part}; every figure needs value, unit, source, as_of and basis")
    suffix, factor = _checked_unit(stated["unit"], rule, where)
    value = _number(stated["value"], factor, where, rule)
    low, high, note = _spread(stated, factor, where, rule, sources)
    basis = checked_basis(stated["basis"], note, where)
    if basis == "estimated" and (low is None or high is None):
        refuse(where, "is estimated and needs low and high")
    return Figure(
        value=value,
        unit=suffix,
        source=checked_source(stated["source"], where, sources),
        as_of=parse_date(stated["as_of"], where),
        basis=basis,
        low=low,
        high=high,
        note=note,
    )


def _checked_unit(text: Any, rule: Rule, where: str) -> tuple[str, float]:
    try:
        suffix, factor = _unit(str(text))
    except ValueError as error:
        refuse(where, str(error))
    if rule.unit not in ("*", suffix):
        refuse(where, f"{text!r} is a unit of {suffix}, not of {rule.unit}")
    return suffix, factor


def _number(raw: Any, factor: float, where: str, rule: Rule) -> float:
    if isinstance(raw, bool) or not isinstance(raw, (int, float, str)):
        refuse(where, f"{raw!r} is not a number")
    try:
        value = float(raw) * factor
    except (ValueError, OverflowError):
        refuse(where, f"{str(raw)[:40]!r} is not a number")
    if not math.isfinite(value):
        refuse(where, f"{raw} is not a finite number")
    if not rule.min <= value <= rule.max:
        refuse(where, f"{raw}, in SI {value:g}, is outside the plausible range {rule.min:g} to {rule.max:g}")
    return value


def _spread(
    stated: Mapping[str, Any], factor: float, where: str, rule: Rule, sources: Collection[str]
) -> tuple[float | None, float | None, str]:
    """Return low, high and the note; values of other sources widen the former and are named in the latter."""
    note = str(stated.get("note", ""))
    value = float(stated["value"]) * factor
    bounds = [stated.get(side) for side in ("low", "high")]
    low, high = (None if raw in (None, "") else _number(raw, factor, where, rule) for raw in bounds)
    other = stated.get("other") or {}
    if not isinstance(other, Mapping):
        refuse(where, "`other` must be a table of source ids and their values")
    for name, raw in other.items():
        alternative = _number(raw, factor, where, rule)
        low = min(alternative, value if low is None else low)
        high = max(alternative, value if high is None else high)
        told = f"{DISAGREE}: {checked_source(name, where, sources)} has {raw} {stated['unit']}"
        note = f"{told}; {note}" if note else told
    if (low is not None and low > value) or (high is not None and high < value):
        refuse(where, f"low {low}, value {value} and high {high} are not in order")
    return low, high, note


def checked_basis(raw: Any, note: str, where: str) -> Basis:
    """Return the basis of a figure or a configuration; what is assumed says why in its note."""
    if raw not in BASES:
        refuse(where, f"basis {raw!r} is unknown; allowed are {', '.join(BASES)}")
    if raw == "assumed" and not note:
        refuse(where, "is assumed and needs a note that says why")
    return cast("Basis", raw)


def checked_source(raw: Any, where: str, sources: Collection[str]) -> str:
    """Return source ids joined by " + ", each of them known."""
    ids = [part.strip() for part in str(raw).split(" + ")]
    for name in ids:
        if name not in sources:
            close = nearest(name, sources)
            hint = f"nearest: {', '.join(close)}; " if close else ""
            refuse(where, f"unknown source {name[:80]!r} ({hint}sources stand in sources.d/*.toml)")
    return " + ".join(ids)
