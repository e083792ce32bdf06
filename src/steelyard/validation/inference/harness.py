"""How the server behind a published row was loaded, as published/harnesses.csv says."""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from dataclasses import dataclass

from steelyard import catalog
from steelyard.inference.engine_rules import version_numbers
from steelyard.records.estimate import Z90
from steelyard.validation.points import Row

_LOADS = {"concurrency": "closed loop", "batch": "fixed batch", "rate": "open loop", "max_throughput": "all at once"}
_KINDS = (  # words in a harness's description -> how it loads the server; the first that fits
    ("open loop", "open loop"),
    ("saturated closed loop", "saturated"),
    ("closed loop", "closed loop"),
    ("all requests at once", "all at once"),
    ("all at once", "all at once"),
    ("fixed batch", "fixed batch"),
    ("single stream", "fixed batch"),
)


_UNEVEN = 0.1  # spread of lengths known to differ, and no more
_STEP_TIMERS = ("llama.cpp",)  # llama-bench and llama-batched-bench; its server is loaded by users


class Refused(Exception):
    """A row that cannot be predicted; its text says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Harness:
    """How a server was loaded, as published/harnesses.csv says, or as the kind of load is usually meant."""

    kind: str  # of `inference.loads.KINDS`
    requests: float  # sent in all; 0 where not stated
    bare: bool = False  # an engine without a server
    scheduled: bool = True  # something decides between steps what runs next
    length_mean_ratio: float = 1.0  # of the lengths that its rows print
    length_spread_ratio: float = 0.0
    counts_ways_twice: bool = False  # its rows count the ways of expert parallelism as more devices
    cached_input_ratio: float = 0.0
    eager: bool = False  # kernels launched one by one, not as a captured graph
    max_sequences: float = 0.0  # as the engine was set ("load": to the load); 0 where not stated
    chunk_tokens: float = 0.0
    spreads_attention: bool = False  # data-parallel attention for mixtures of experts


@functools.lru_cache(maxsize=1)
def _harnesses() -> Mapping[str, Row]:
    return {row["harness"]: row for row in catalog.published("harnesses").rows}


def harness_of(row: Row, *, static: bool = False) -> Harness:
    """Return how the server of a row was loaded; a `static` engine is a library, called with whole batches."""
    known = _harnesses().get(row.get("harness", ""))
    usual = _LOADS.get(row["load"], "")
    told = known["kind"] if known else ""
    kind = next((name for words, name in _KINDS if words in told), "") or usual
    if not kind:
        raise Refused(f"how the server was loaded is not known ({told or row['load'] or 'not stated'})")
    scheduled = known["scheduler"] != "no" if known else not _times_steps(row)
    if static and kind == "open loop":
        raise Refused("requests at a rate to an engine of static batches: how it gathers them is not stated")
    if static:
        kind = "fixed batch"
    elif kind == "fixed batch" and scheduled:
        kind = "all at once"  # a server takes what is sent together as a queue
    if known is None:
        spread = _stated_spread(row)
        bare = static or not scheduled
        return Harness(kind=kind, requests=0.0, bare=bare, scheduled=scheduled, length_spread_ratio=spread)
    since = known["attention_dp_since"]
    return Harness(
        kind=kind,
        requests=_requests(known, row),
        bare=known["server"] == "no",
        scheduled=scheduled,
        length_mean_ratio=float(_by_source(known["length_mean_ratio"], row) or 1.0),
        length_spread_ratio=float(_by_source(known["length_spread_ratio"], row) or _stated_spread(row)),
        counts_ways_twice=bool(known["ways_counted_twice"]) and known["ways_counted_twice"] in row["source"],
        cached_input_ratio=float(known["cached_input_ratio"] or 0.0),
        eager=known["eager"] == "yes",
        max_sequences=float((row["load_value"] if known["max_sequences"] == "load" else known["max_sequences"]) or 0.0),
        chunk_tokens=float(known["chunk_tokens"] or 0.0),
        spreads_attention=bool(since) and version_numbers(row["engine_version"]) >= version_numbers(since),
    )


def _stated_spread(row: Row) -> float:
    """Return the spread of lengths over their mean, read off the p90 of prompts that a row states; else alike.

    A mean that is no whole number is not one of equal lengths.
    """
    isl, p90 = (float(row.get(name) or 0.0) for name in ("isl", "isl_p90"))
    stated = min(max(p90 / isl - 1.0, 0.0) / Z90, 1.0) if isl > 0 else 0.0
    return max(stated, 0.0 if isl.is_integer() else _UNEVEN)


def _times_steps(row: Row) -> bool:
    """Tell whether a row is of the tools that come with an engine and time its bare steps: no server, no scheduler."""
    return row["load"] == "batch" and row["engine"].casefold().startswith(_STEP_TIMERS)


def _by_source(cell: str, row: Row) -> str:
    """Return a cell, or the part of it that is for a row's source ("one kind:0.1;another kind:0")."""
    if ":" not in cell:
        return cell
    return next((part.split(":")[1] for part in cell.split(";") if part.split(":")[0] in row["source"]), "")


def _requests(known: Row, row: Row) -> float:
    """Return how many requests were sent, by the lengths where the harness says so ("3000 at 128/2048, 2048/128").

    "10 a user" goes by the load.
    """
    each = re.match(r"(\d+) a user", known["n_requests"])
    if each:
        return float(each[1]) * float(row["load_value"] or 0.0)
    lengths = f"{row['isl']}/{row['osl']}"
    for count, where in re.findall(r"(\d+) at ([\d/, ]+)", " ".join((known["n_requests"], known["lengths"]))):
        if lengths in where.replace(" ", "").split(","):
            return float(count)
    return float(known["n_requests"]) if known["n_requests"].isdigit() else 0.0
