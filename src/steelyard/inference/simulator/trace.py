"""A trace file as load: when its requests came, how long they were, which blocks their prompts begin with."""

from __future__ import annotations

import math
from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import repeat
from pathlib import Path
from typing import Any

import numpy as np

from steelyard.errors import InputError
from steelyard.inference.simulator.load import Load, Times
from steelyard.inference.trace import HASHES, ISL, OSL, TIME, lengths_tokens, trace_blocks
from steelyard.records.workload import Lengths

MOONCAKE_BLOCK_TOKENS = 512  # by the definition of the format
_MILLISECONDS = "input_length"  # the column by which that format, whose times are in ms, is known
_LARGEST_HASH = 1 << 62


@dataclass(slots=True)
class _Columns:
    times: list[Times] = field(default_factory=list)
    isl: list[Times] = field(default_factory=list)
    osl: list[Times] = field(default_factory=list)
    hashes: array[int] = field(default_factory=lambda: array("q"))
    hash_count: array[int] = field(default_factory=lambda: array("q"))


def trace_load(path: str | Path, *, num_requests: int | None = None, request_rate_per_s: float | None = None) -> Load:
    """Return the requests of a trace file, at the times at which they came.

    Reads CSV or JSON lines with a time (`TIMESTAMP` as date and time or in s, as in the Azure and BurstGPT traces; in
    ms in Mooncake's), a prompt and an answer length and, where the file has them, `hash_ids` of 512-token blocks.

    Args:
        path: The file; at most 2 GB and 20,000,000 rows where all are asked for.
        num_requests: The first so many; all when None.
        request_rate_per_s: Times are stretched to this mean rate; as they are when None.

    Raises:
        InputError: The file cannot be read, lacks a column, has a length or a time that is none, or times that go
            back; the line is named. Or it holds fewer requests, or a rate is asked of requests at one moment.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     file = Path(folder) / "trace.csv"
        ...     _ = file.write_text("TIMESTAMP,ContextTokens,GeneratedTokens\\n0,374,44\\n2.5,396,109\\n")
        ...     trace_load(file).trace_times.tolist()
        [0.0, 2.5]
    """
    path = Path(path)
    read = _read(path, num_requests)
    times = np.concatenate(read.times)
    times -= times[0]
    if request_rate_per_s is not None and not 0 < request_rate_per_s < math.inf:
        raise InputError(f"request rate: {request_rate_per_s:g} is not a positive number")
    counts = np.array(read.hash_count, dtype=np.int64)
    lengths = Lengths(
        isl_tokens=np.maximum(np.concatenate(read.isl), 1.0),
        osl_tokens=np.maximum(np.concatenate(read.osl), 1.0),
        label=f"trace {path.name}, {len(times):,} requests",
    )
    load = Load(
        num_requests=len(times),
        lengths=lengths,
        label=lengths.label,
        request_rate_per_s=(len(times) - 1) / float(times[-1]) if times[-1] > 0 else 0.0,
        in_order=True,
        trace_times=times,
        trace_hash_start=np.concatenate([[0], np.cumsum(counts)[:-1]]).astype(np.int64) if counts.any() else counts[:0],
        trace_hash_count=counts if counts.any() else counts[:0],
        hashes=np.array(read.hashes, dtype=np.int64),
        hash_block_tokens=MOONCAKE_BLOCK_TOKENS if counts.any() else 0,
    )
    return load if request_rate_per_s is None else load.stretched_to(request_rate_per_s)


def _read(path: Path, num_requests: int | None) -> _Columns:
    read = _Columns()
    scale, last_s, count = None, -math.inf, 0
    blocks = trace_blocks(path, (ISL, OSL, TIME), ((_MILLISECONDS,), HASHES), most=num_requests)
    for numbers, (prompts, answers, times, short, listed) in blocks:
        if scale is None:
            scale = 1e-3 if short[0] is not None else 1.0
        times_s = _times_s(times, scale, path, numbers)
        _require_order(times_s, last_s, path, numbers)
        last_s = float(times_s[-1])
        read.times.append(times_s)
        read.isl.append(lengths_tokens(prompts, path, numbers))
        read.osl.append(lengths_tokens(answers, path, numbers))
        if listed.count(None) == len(listed):
            read.hash_count.extend(repeat(0, len(listed)))
        else:
            for cell, number in zip(listed, numbers, strict=True):
                hashes = _blocks(cell, path, number)
                read.hashes.extend(hashes)
                read.hash_count.append(len(hashes))
        count += len(numbers)
    if num_requests is not None and count < num_requests:
        raise InputError(
            f"{path}: holds {count:,} requests, not the {num_requests:,} asked; ask for no more, or for all by leaving "
            "the number out"
        )
    return read


def _times_s(values: Sequence[Any], scale: float, path: Path, numbers: Sequence[int]) -> Times:
    """Return the times of some lines [s]."""
    try:
        found = np.fromiter(map(float, values), np.float64, len(values)) * scale
    except (TypeError, ValueError):
        found = None
    if found is None or not np.isfinite(found).all():
        found = np.array([_seconds(*one, scale, path) for one in zip(values, numbers, strict=True)])
    return found


def _require_order(times_s: Times, last_s: float, path: Path, numbers: Sequence[int]) -> None:
    """Raise where a request comes before the one above it; the line is named."""
    gaps = np.diff(times_s, prepend=last_s)
    if (back := gaps < 0).any():
        place = int(back.argmax())
        raise InputError(
            f"{path}, line {numbers[place]}: its time is {-gaps[place]:g} s before that of the request above it; "
            "sort the file by time"
        )


def _seconds(value: Any, number: int, scale: float, path: Path) -> float:
    try:
        return _finite(float(value)) * scale
    except (TypeError, ValueError):
        pass
    try:
        moment = datetime.fromisoformat(str(value).strip())
    except ValueError:
        raise InputError(
            f"{path}, line {number}: {str(value)[:40]!r} is neither a number nor a date and time"
        ) from None
    # Without a zone it is taken as UTC: where clocks are put forward, local time would leave out an hour of the trace.
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _finite(number: float) -> float:
    if not math.isfinite(number):
        raise ValueError(number)
    return number


def _blocks(value: Any, path: Path, number: int) -> list[int]:
    if value is None:
        return []
    whole = isinstance(value, list) and all(
        isinstance(one, int) and not isinstance(one, bool) and 0 <= one < _LARGEST_HASH for one in value
    )
    if not whole:
        raise InputError(f"{path}, line {number}: hash_ids is not a list of whole numbers from 0 on")
    return list(value)
