"""From the document of one TOML file to its record; whatever breaks the schema is refused in one line."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any

from steelyard.catalog.files import DataFile
from steelyard.catalog.schema import (
    DEFAULT_KEYS,
    FIGURE_KEYS,
    Rule,
    Schema,
    checked_basis,
    checked_source,
    parse_date,
    parse_figure,
    refuse,
    schemas,
)
from steelyard.records.figure import Figure, Source
from steelyard.records.joint_shares import JointShares, joint_shares_of
from steelyard.records.model import ModelRecord
from steelyard.records.system import Accelerator
from steelyard.records.workload import Workload

Sources = Mapping[str, Source]
Document = Mapping[str, Any]
_RATES = "peak_flop_per_s"


def accelerator(raw: Document, file: DataFile, known: Sources) -> Accelerator:
    """Return the accelerator of a document; a link that is not stated is 0, everything else is required."""
    only(raw, {"id", "name", "vendor", "year", "memory_type", "aliases", "notes", "defaults", "figures"}, file.label)
    texts(raw, ("vendor",), file.label)
    year = raw.get("year")
    if not isinstance(year, int) or not 2000 <= year <= 2100:
        refuse(f"{file.label}: year", f"{year!r} is not a year (2000 to 2100)")
    stated = figures(raw, schemas("schema.toml")["accelerators"], file, known)
    rates = {name.partition(".")[2]: item.value for name, item in stated.items() if name.startswith(_RATES)}
    if not rates:
        refuse(file.label, f"needs at least one rate by dtype, as figures.{_RATES}.bf16")

    def value(name: str) -> float:
        return stated[name].value if name in stated else 0.0

    return Accelerator(
        id=raw["id"],
        name=raw["name"],
        vendor=raw["vendor"],
        year=year,
        peak_flop_per_s=MappingProxyType(rates),
        hbm_bytes=value("hbm_bytes"),
        hbm_bytes_per_s=value("hbm_bytes_per_s"),
        scale_up_bytes_per_s=value("scale_up_bytes_per_s"),
        scale_up_devices=round(value("scale_up_devices")),
        scale_out_bytes_per_s=value("scale_out_bytes_per_s"),
        pcie_bytes_per_s=value("pcie_bytes_per_s"),
        tdp_w=value("tdp_w"),
        idle_w=value("idle_w"),
        devices_per_node=round(value("devices_per_node")),
        l2_bytes=value("l2_bytes"),
        l2_bytes_per_s=value("l2_bytes_per_s"),
        figures=MappingProxyType(stated),
        memory_type=str(raw.get("memory_type", "")),
        aliases=_names(raw, "aliases", file),
        notes=str(raw.get("notes", "")),
    )


def model(raw: Document, file: DataFile, known: Sources) -> ModelRecord:
    """Return the model of a document: its configuration, with source, date and basis."""
    allowed = {"id", "name", "aliases", "benchmark_names", "licence", "note", "defaults", "config"}
    only(raw, allowed | {"source", "as_of", "basis"}, file.label)
    where = f"{file.label}: config"
    defaults = raw.get("defaults", {})
    only(defaults, DEFAULT_KEYS, f"{file.label}: defaults")
    stated = {**defaults, **raw}
    for part in ("source", "as_of", "basis"):
        if not stated.get(part):
            refuse(where, f"has no {part}")
    note = str(stated.get("note", ""))
    basis = checked_basis(stated["basis"], note, where)
    if basis == "estimated":
        refuse(where, "is estimated, but shapes have no low and high; write assumed, with a note that says why")
    if not isinstance(raw.get("config"), dict) or not raw["config"]:
        refuse(file.label, "has no [config] with the keys of the model's config.json")
    return ModelRecord(
        id=raw["id"],
        name=raw["name"],
        config=MappingProxyType(raw["config"]),
        source=checked_source(stated["source"], where, known),
        as_of=parse_date(stated["as_of"], where),
        basis=basis,
        aliases=_names(raw, "aliases", file),
        benchmark_names=_names(raw, "benchmark_names", file),
        licence=str(raw.get("licence", "")),
        note=note,
    )


def workload(raw: Document, file: DataFile, known: Sources) -> Workload:
    """Return the workload preset of a document."""
    allowed = {"id", "name", "aliases", "note", "defaults", "figures", "hourly_shape"}
    only(raw, allowed | {"isl_quantiles", "osl_quantiles", "joint_shares"}, file.label)
    schema = schemas("schema.toml")["workloads"]
    stated = figures(raw, schema, file, known)
    isl = _quantiles(raw, "isl_quantiles", schema.figures["isl_quantiles"], file, known)
    osl = _quantiles(raw, "osl_quantiles", schema.figures["osl_quantiles"], file, known)
    for name, by_share in (("isl_quantiles", isl), ("osl_quantiles", osl)):
        stated.update({f"{name}.{share:g}": figure for share, figure in by_share.items()})
    joint = _joint_shares(raw, file)
    if joint is not None:
        stated["joint_shares"] = _of_table(raw, joint, schema.figures["joint_shares"], file, known)
    return Workload(
        id=raw["id"],
        name=raw["name"],
        isl_quantile_tokens={share: figure.value for share, figure in isl.items()},
        isl_mean_tokens=stated["isl_mean"].value,
        osl_quantile_tokens={share: figure.value for share, figure in osl.items()},
        osl_mean_tokens=stated["osl_mean"].value,
        length_rank_correlation_ratio=stated["length_rank_correlation"].value,
        request_rate_per_s=stated["request_rate"].value,
        arrival_cv_ratio=stated["arrival_cv"].value,
        peak_to_mean_ratio=stated["peak_to_mean"].value,
        joint_shares=joint,
        prefix_hit_ratio=stated["prefix_hit"].value if "prefix_hit" in stated else 0.0,
        hourly_shape_ratio=_hourly(raw, file),
        figures=MappingProxyType(stated),
        aliases=_names(raw, "aliases", file),
        note=str(raw.get("note", "")),
    )


def _hourly(raw: Document, file: DataFile) -> tuple[float, ...]:
    """Return the 24 rates of a day relative to their mean, or nothing."""
    block = raw.get("hourly_shape", {})
    only(block, {"values", *DEFAULT_KEYS}, f"{file.label}: hourly_shape")
    hours = block.get("values", [])
    if hours and (len(hours) != 24 or not all(isinstance(rate, (int, float)) and rate >= 0 for rate in hours)):
        refuse(f"{file.label}: hourly_shape", "needs 24 values, none below 0")
    return tuple(float(rate) for rate in hours)


def _quantiles(raw: Document, name: str, rule: Rule, file: DataFile, known: Sources) -> dict[float, Figure]:
    """Return the figures of a quantile function by share of requests, in order."""
    where = f"{file.label}: {name}"
    block = raw.get(name, {})
    values = block.get("values") if isinstance(block, dict) else None
    if not isinstance(values, dict) or len(values) < 2:
        refuse(where, "needs `values` with at least two shares of requests and their tokens")
    only(block, {"values", "unit", *DEFAULT_KEYS}, where)
    shared = {part: text for part, text in block.items() if part != "values"}
    found: dict[float, Figure] = {}
    for share, value in values.items():
        item = {**shared, "value": value}
        at = f"{where}.{share}"
        found[_share(share, at)] = parse_figure(item, where=at, rule=rule, sources=known, defaults=raw.get("defaults"))
    ordered = dict(sorted(found.items()))
    tokens = [figure.value for figure in ordered.values()]
    if tokens != sorted(tokens):
        refuse(where, "tokens must not fall as the share of requests rises")
    return ordered


def _joint_shares(raw: Document, file: DataFile) -> JointShares | None:
    """Return the shares of requests by the lengths of both prompt and answer, or nothing."""
    block, where = raw.get("joint_shares"), f"{file.label}: joint_shares"
    if block is None:
        return None
    only(block, {"values", "isl_edges", "osl_edges", "unit", *DEFAULT_KEYS}, where)
    try:
        return joint_shares_of(block.get("values"), block.get("isl_edges"), block.get("osl_edges"))
    except ValueError as error:
        refuse(where, str(error))


def _of_table(raw: Document, joint: JointShares, rule: Rule, file: DataFile, known: Sources) -> Figure:
    """Return the one figure that a table of shares is shown as: the share of all requests in it, and its source."""
    defaults = raw.get("defaults", {})
    stated = {part: text for part, text in {**defaults, **raw["joint_shares"]}.items() if part in FIGURE_KEYS}
    rows, columns = joint.request_ratio.shape
    note = "; ".join(part for part in (f"table of {rows} x {columns} shares of requests", stated.get("note")) if part)
    figure = {**stated, "value": round(float(joint.request_ratio.sum()), 3), "note": note}
    return parse_figure(figure, where=f"{file.label}: joint_shares", rule=rule, sources=known)


def _share(text: str, where: str) -> float:
    try:
        share = float(text)
    except ValueError:
        share = -1.0
    if not 0 <= share <= 1:
        refuse(where, f"{text!r} is not a share of requests (0 to 1)")
    return share


def figures(raw: Document, schema: Schema, file: DataFile, known: Sources) -> dict[str, Figure]:
    """Return a record's figures under dotted names, each checked, none missing that the schema requires."""
    defaults = raw.get("defaults", {})
    only(defaults, DEFAULT_KEYS, f"{file.label}: defaults")
    found: dict[str, Figure] = {}
    for name, item in _flat(raw.get("figures", {}), f"{file.label}: figures"):
        where = f"{file.label}: {name}"
        rule = schema.rule(name)
        if rule is None:
            refuse(where, f"is no figure of such a record; they are {', '.join(schema.figures)}")
        found[name] = parse_figure(item, where=where, rule=rule, sources=known, defaults=defaults)
    for name, rule in schema.figures.items():
        if rule.required and name not in found:
            refuse(file.label, f"has no figure {name!r}")
    return found


def _flat(items: Any, where: str, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield figures under dotted names; a table that holds only tables is a group of figures."""
    if not isinstance(items, dict):
        refuse(where, "must be a table of figures")
    for name, item in items.items():
        if isinstance(item, dict) and item and all(isinstance(part, dict) for part in item.values()):
            yield from _flat(item, where, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", item


def _names(raw: Document, part: str, file: DataFile) -> tuple[str, ...]:
    names = raw.get(part, [])
    if not isinstance(names, list) or not all(isinstance(name, str) and name.strip() for name in names):
        refuse(f"{file.label}: {part}", "must be a list of names")
    return tuple(names)


def id_matches(raw: Document, file: DataFile) -> None:
    """Refuse a record whose id differs from the name of its file."""
    if raw.get("id") != file.id:
        refuse(file.label, f"id is {raw.get('id')!r}, the file's name says {file.id!r}")


def texts(raw: Document, parts: tuple[str, ...], where: str) -> None:
    """Refuse a document that lacks one of these texts."""
    for part in parts:
        if not isinstance(raw.get(part), str) or not raw[part].strip():
            refuse(where, f"has no {part}")


def only(raw: Any, allowed: set[str] | frozenset[str], where: str) -> None:
    """Refuse what is not a table, or has a key that is not allowed."""
    if not isinstance(raw, Mapping):
        refuse(where, "must be a table")
    if extra := set(raw) - allowed:
        refuse(where, f"unknown key {min(extra)!r}; allowed are {', '.join(sorted(allowed))}")
