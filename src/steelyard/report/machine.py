"""What a machine was measured to do, for people and as JSON."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

from steelyard.measure.machine import Machine
from steelyard.measure.machine.machine import Share
from steelyard.measure.machine.timing import Reading
from steelyard.report.json_document import document, dump
from steelyard.report.listing import table
from steelyard.units import format_quantity


def machine_text(machine: Machine, written: Sequence[str], *, width: int | None = None) -> str:
    """Return the readings, alone and shared, and where they were written."""
    power = "power not measurable here"
    if machine.idle_w is not None and machine.busy_w is not None:
        power = f"{format_quantity(machine.idle_w, 'w')} idle, {format_quantity(machine.busy_w, 'w')} at work"
    head = (
        f"{machine.name}, {machine.cores} cores, {format_quantity(machine.memory_bytes, 'bytes')}, {power}\n"
        f"{machine.whole.library}; median and p10 to p90 of repeats\n"
    )
    rows = _rows(machine.whole)
    if machine.shared is not None:
        beside = _rows(machine.shared)
        column = f"each of {machine.shared.processes} at once"
        rows = {name: row | {column: beside.get(name, {}).get("alone", "")} for name, row in rows.items()}
    for size, spent in machine.all_reduce_s.items():
        name = f"all-reduce of {format_quantity(size, 'bytes')}, {machine.cores} processes"
        rows[name] = {"alone": "", f"each of {machine.cores} at once": _shown(spent, "s")}
    listed = [{"": name} | row for name, row in rows.items()]
    return f"{head}\n{table(listed, width=width)}\n" + "".join(f"written: {path}\n" for path in written)


def _rows(share: Share) -> dict[str, dict[str, str]]:
    found: dict[str, str] = {}
    for size in share.read_bytes_per_s:
        found[f"read {size}"] = _shown(share.read_bytes_per_s[size], "bytes_per_s")
    for size in share.copy_bytes_per_s:
        found[f"copy {size}"] = _shown(share.copy_bytes_per_s[size], "bytes_per_s")
    for dtype, rates in share.matmul_flop_per_s.items():
        found |= {f"{dtype} matrix product {shape}": _shown(rate, "flop_per_s") for shape, rate in rates.items()}
    for name, label, unit in _ATTENTION:
        if name in share.attention:
            found[label] = _shown(share.attention[name], unit)
    found["launch of one operation"] = _shown(share.launch_s, "s")
    return {name: {"alone": text} for name, text in found.items()}


_ATTENTION = (
    ("prompt_flop_per_s", "attention over a prompt", "flop_per_s"),
    ("cache_bytes_per_s", "attention reading a cache", "bytes_per_s"),
)


def _shown(reading: Reading, unit: str) -> str:
    low, high = format_quantity(reading.low, unit), format_quantity(reading.high, unit)
    return f"{format_quantity(reading.value, unit)} ({low} to {high})"


def machine_json(machine: Machine, written: Mapping[str, str]) -> str:
    """Return everything measured as one document, with the records that were made of it."""
    return dump(
        document(
            "steelyard/measure-machine/1",
            inputs={},
            result=dataclasses.asdict(machine) | {"records": dict(written)},
            breakdown={},
            sources=(),
            warnings=machine.warnings,
        )
    )
