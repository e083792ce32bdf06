"""Requests read off a trace file: CSV or JSON lines, in the columns of the public traces."""

from __future__ import annotations

import csv
import json
import math
from array import array
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np

from steelyard.errors import InputError
from steelyard.records.workload import Lengths

MAX_BYTES = 200_000_000
MAX_ROWS = 2_000_000
MAX_LINE_CHARACTERS = 4_000_000  # a prompt of ten million tokens lists 20,000 block hashes
TIME = ("timestamp", "arrival_s", "time_s", "arrived_at")
HASHES = ("hash_ids",)
ISL = ("isl_tokens", "isl", "contexttokens", "input_length", "input_tokens", "prompt_tokens", "request tokens")
OSL = (
    "osl_tokens",
    "osl",
    "generatedtokens",
    "output_length",
    "output_tokens",
    "completion_tokens",
    "response tokens",
)
_NEXT = f"a prompt column ({', '.join(ISL)}) and an answer column ({', '.join(OSL)})"


def lengths_from_trace(path: str | Path) -> Lengths:
    """Return the request lengths of a trace file [tokens], one sample a row.

    Reads CSV with a header or JSON lines. Known columns are those of the Azure (`ContextTokens`, `GeneratedTokens`),
    Mooncake (`input_length`, `output_length`) and BurstGPT traces, and the plain `isl`, `osl`; case does not matter.

    Args:
        path: The file; at most 200 MB and 2,000,000 rows.

    Returns:
        `Lengths` with arrays [rows]. A length of 0 counts as 1 token: something was asked and answered.

    Raises:
        InputError: The file cannot be read, lacks a column, or holds a length that is not a number from 0 on; the
            line is named.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     file = Path(folder) / "trace.csv"
        ...     _ = file.write_text("TIMESTAMP,ContextTokens,GeneratedTokens\\n0,374,44\\n1,396,109\\n")
        ...     lengths_from_trace(file).mean_isl_tokens
        385.0
    """
    path = Path(path)
    isl, osl = array("d"), array("d")
    for number, (prompt, answer) in trace_rows(path, (ISL, OSL)):
        isl.append(length_tokens(prompt, path, number))
        osl.append(length_tokens(answer, path, number))
    return Lengths(
        isl_tokens=np.maximum(np.frombuffer(isl, dtype=np.float64), 1.0),
        osl_tokens=np.maximum(np.frombuffer(osl, dtype=np.float64), 1.0),
        label=f"trace {path.name}, {len(isl):,} requests",
    )


def trace_rows(
    path: Path, required: tuple[tuple[str, ...], ...], optional: tuple[tuple[str, ...], ...] = ()
) -> Iterator[tuple[int, tuple[Any, ...]]]:
    """Yield each request of a trace file: its line number and its cells, None where an optional column is missing.

    Args:
        path: The file; at most 200 MB and 2,000,000 rows.
        required, optional: Columns, each by the names it goes by.

    Raises:
        InputError: The file cannot be read, holds no request, or a line lacks a column; the line is named.
    """
    count = 0
    try:
        if not path.is_file():
            raise InputError(f"{path}: no such file; give a CSV or JSON lines file with {_NEXT}")
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise InputError(
                f"{path}: {size / 1e6:.0f} MB, at most {MAX_BYTES / 1e6:.0f} MB are read; use a part of it"
            )
        with path.open(encoding="utf-8-sig", newline="") as stream:
            read = _json_rows if _starts_as_json(stream) else _csv_rows
            for number, cells in read(stream, path, required, optional):
                count += 1
                if count > MAX_ROWS:
                    raise InputError(f"{path}: more than {MAX_ROWS:,} requests; use a part of it")
                yield number, cells
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: is not UTF-8 text (byte {error.start})") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from None
    if not count:
        raise InputError(f"{path}: holds no request; it needs {_NEXT}")


def _starts_as_json(stream: IO[str]) -> bool:
    start = stream.read(256)
    stream.seek(0)
    return start.lstrip().startswith("{")


def _lines(stream: IO[str], path: Path) -> Iterator[str]:
    number = 0
    while line := stream.readline(MAX_LINE_CHARACTERS):
        number += 1
        if len(line) == MAX_LINE_CHARACTERS:
            raise InputError(f"{path}, line {number}: longer than {MAX_LINE_CHARACTERS:,} characters")
        if "\0" in line:
            raise InputError(f"{path}, line {number}: is not text (holds a zero byte)")
        yield line


def _json_rows(
    stream: IO[str], path: Path, required: tuple[tuple[str, ...], ...], optional: tuple[tuple[str, ...], ...]
) -> Iterator[tuple[int, tuple[Any, ...]]]:
    for number, line in enumerate(_lines(stream, path), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            raise InputError(f"{path}, line {number}: is not a JSON object") from None
        if not isinstance(row, dict):
            raise InputError(f"{path}, line {number}: is not a JSON object")
        keys = {key.strip().casefold(): key for key in row}
        found = [_column(keys, names, path, number) for names in required]
        found += [keys[name] if (name := _first(keys, names)) else None for names in optional]
        yield number, tuple(None if key is None else row[key] for key in found)


def _csv_rows(
    stream: IO[str], path: Path, required: tuple[tuple[str, ...], ...], optional: tuple[tuple[str, ...], ...]
) -> Iterator[tuple[int, tuple[Any, ...]]]:
    reader = csv.reader(_lines(stream, path))
    try:
        header = next(reader, [])
        places = {name.strip().casefold(): place for place, name in enumerate(header)}
        found = [_column(places, names, path, 1) for names in required]
        found += [places[name] if (name := _first(places, names)) else None for names in optional]
        last = max(place for place in found if place is not None)
        for row in reader:
            if row:
                if len(row) <= last:
                    raise InputError(f"{path}, line {reader.line_num}: {len(row)} cells, the header has {len(header)}")
                yield reader.line_num, tuple(None if place is None else row[place] for place in found)
    except csv.Error as error:
        raise InputError(f"{path}, line {reader.line_num}: {error}") from None


def _first(keys: dict[str, Any], names: tuple[str, ...]) -> str | None:
    return next((name for name in names if name in keys), None)


def _column(keys: dict[str, Any], names: tuple[str, ...], path: Path, number: int) -> Any:
    name = _first(keys, names)
    if name is None:
        listed = ", ".join(str(key)[:40] for key in list(keys)[:12]) or "none"
        raise InputError(
            f"{path}, line {number}: no column {' or '.join(names)}; its columns are {listed}: rename the one meant"
        )
    return keys[name]


def length_tokens(value: Any, path: Path, number: int) -> float:
    """Return one length of a trace [tokens].

    Raises:
        InputError: It is not a number from 0 to 1e8; the line is named.
    """
    try:
        tokens = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError, OverflowError):
        tokens = math.nan
    if not 0 <= tokens <= 1e8:
        raise InputError(f"{path}, line {number}: {str(value)[:40]!r} is not a number of tokens from 0 on")
    return tokens
