"""Lists of what the catalogue holds, as display text."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date

from steelyard.catalog.files import overlay
from steelyard.catalog.load import (
    load_accelerators,
    load_calibration,
    load_models,
    load_sources,
    load_workloads,
)
from steelyard.catalog.tables import Row, table, table_names
from steelyard.errors import UnknownError, unknown
from steelyard.records.figure import Figure
from steelyard.units import format_quantity

RECORD_KINDS = ("accelerators", "models", "workloads", "calibration", "sources")


def kinds() -> tuple[str, ...]:
    """Return what can be listed: kinds of records, "tables", and each table by its name."""
    return (*RECORD_KINDS, "tables", *table_names())


def listing(kind: str) -> list[dict[str, str]]:
    """Return one row of display text per record of a kind; its `origin` is "user" or "shipped".

    Raises:
        UnknownError: No such kind; the message names the nearest.

    Example:
        >>> next(row for row in listing("accelerators") if row["id"] == "h100-sxm5-80gb")["memory"]
        '80 GB'
    """
    if kind in _LISTS:
        return _LISTS[kind]()
    if kind in table_names():
        return [_shown(row) for row in table(kind).rows]
    raise UnknownError(unknown("kind of record", kind, kinds()))


def _accelerators() -> list[dict[str, str]]:
    found = load_accelerators(overlay())
    return [
        {
            "id": item.id,
            "name": item.name,
            "year": str(item.year),
            "memory": format_quantity(item.hbm_bytes, "bytes"),
            "bandwidth": format_quantity(item.hbm_bytes_per_s, "bytes_per_s"),
            "bf16 or fp16 peak": _peak(item.peak_flop_per_s),
            "TDP": format_quantity(item.tdp_w, "w"),
            "assumed": _assumed(item.figures),
            "origin": found.origin(item.id),
        }
        for item in found.records.values()
    ]


def _peak(rates: Mapping[str, float]) -> str:
    rate = rates.get("bf16", rates.get("fp16"))
    return "none" if rate is None else format_quantity(rate, "flop_per_s")


def _models() -> list[dict[str, str]]:
    found = load_models(overlay())
    return [
        {
            "id": item.id,
            "name": item.name,
            "architecture": str(item.config.get("model_type", "")),
            "licence": item.licence,
            "source": item.source,
            "as_of": item.as_of.isoformat(),
            "basis": item.basis,
            "origin": found.origin(item.id),
        }
        for item in found.records.values()
    ]


def _workloads() -> list[dict[str, str]]:
    found = load_workloads(overlay())
    return [
        {
            "id": item.id,
            "name": item.name,
            "mean input": format_quantity(item.isl_mean_tokens, "token"),
            "mean output": format_quantity(item.osl_mean_tokens, "token"),
            "peak to mean": f"{item.peak_to_mean_ratio:g}",
            "assumed": _assumed(item.figures),
            "origin": found.origin(item.id),
        }
        for item in found.records.values()
    ]


def _calibration() -> list[dict[str, str]]:
    return [
        {
            "id": name,
            "figures": str(len(figures)),
            "assumed": _assumed(figures),
            "newest": _newest(figures.values()),
        }
        for name, figures in load_calibration(overlay()).items()
    ]


def _sources() -> list[dict[str, str]]:
    parts = ("id", "title", "publisher", "kind", "retrieved", "licence")
    return [{part: getattr(item, part) for part in parts} for item in load_sources(overlay()).values()]


def _tables() -> list[dict[str, str]]:
    found = []
    for name in table_names():
        each = table(name)
        newest = max((row.as_of for row in each.rows), default=None)
        about = {"id": name, "what": each.schema.description, "rows": str(len(each.rows))}
        found.append({**about, "newest": newest.isoformat() if newest else ""})
    return found


_LISTS = {
    "accelerators": _accelerators,
    "models": _models,
    "workloads": _workloads,
    "calibration": _calibration,
    "sources": _sources,
    "tables": _tables,
}


def _shown(row: Row) -> dict[str, str]:
    """Return a table's row as display text; a figure marked as assumed says so."""
    shown = {name: text for name, text in row.text.items() if name not in ("assumed", "unit")}
    for name, figure in row.figures.items():
        mark = " (assumed)" if figure.basis == "assumed" else ""
        shown[name] = format_quantity(figure.value, figure.unit) + mark
    return {**shown, "origin": row.origin}


def _assumed(figures: Mapping[str, Figure]) -> str:
    count = sum(figure.basis == "assumed" for figure in figures.values())
    return f"{count} of {len(figures)}"


def _newest(figures: Iterable[Figure]) -> str:
    newest: date | None = max((figure.as_of for figure in figures), default=None)
    return newest.isoformat() if newest else ""
