"""Requests read off a trace file: CSV or JSON lines, in the columns of the public traces."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Iterator, Sequence
from io import StringIO
from itertools import islice
from operator import itemgetter
from pathlib import Path
from typing import IO, Any, NamedTuple, NoReturn

import numpy as np
import numpy.typing as npt

from steelyard.errors import InputError
from steelyard.records.workload import Lengths

MAX_BYTES = 2_000_000_000
MAX_ROWS = 20_000_000  # some 2 GB of memory while they are read and simulated
_BLOCK_ROWS = 1024  # stay in the processor's caches
_COUNTED_BYTES = 1 << 20
_PART_CHARACTERS = 1 << 16
_LONGEST_TOKENS = 1e8
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


class TraceBlock(NamedTuple):
    """Some requests of a trace file in its order."""

    numbers: tuple[int, ...]  # lines of the file [B]
    columns: tuple[Sequence[Any], ...]  # cells of each column asked for [B]; None where an optional one is missing


def lengths_from_trace(path: str | Path) -> Lengths:
    """Return the request lengths of a trace file [tokens], one sample a row.

    Reads CSV with a header or JSON lines. Known columns are those of the Azure (`ContextTokens`, `GeneratedTokens`),
    Mooncake (`input_length`, `output_length`) and BurstGPT traces, and the plain `isl`, `osl`; case does not matter.

    Args:
        path: The file; at most 2 GB and 20,000,000 rows.

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
    isl, osl = [], []
    for numbers, (prompts, answers) in trace_blocks(path, (ISL, OSL)):
        isl.append(lengths_tokens(prompts, path, numbers))
        osl.append(lengths_tokens(answers, path, numbers))
    prompt, answer = (np.maximum(np.concatenate(parts), 1.0) for parts in (isl, osl))
    return Lengths(isl_tokens=prompt, osl_tokens=answer, label=f"trace {path.name}, {len(prompt):,} requests")


def trace_blocks(
    path: Path,
    required: tuple[tuple[str, ...], ...],
    optional: tuple[tuple[str, ...], ...] = (),
    *,
    most: int | None = None,
) -> Iterator[TraceBlock]:
    """Yield the requests of a trace file in blocks.

    Args:
        path: The file; at most 2 GB and 20,000,000 rows, which is looked at before anything is read.
        required, optional: Columns, each by the names it goes by.
        most: The first so many, whatever the size of the file; all when None.

    Raises:
        InputError: The file cannot be read, holds no request, or a line lacks a column; the line is named.
    """
    try:
        if not path.is_file():
            kind = "a folder" if path.is_dir() else "no such file"
            raise InputError(f"{path}: {kind}; give a CSV or JSON lines file with {_NEXT}")
        if not path.stat().st_size:
            raise InputError(f"{path}: is empty; it needs {_NEXT}")
        if most is None or most > MAX_ROWS:
            _require_size(path)
        with path.open(encoding="utf-8-sig", newline="") as stream:
            read = _json_rows if _starts_as_json(stream) else _csv_rows
            rows = islice(read(stream, path, required, optional), most)
            empty = True
            while block := list(islice(rows, _BLOCK_ROWS)):
                empty = False
                numbers, cells = zip(*block, strict=True)
                yield TraceBlock(numbers, tuple(zip(*cells, strict=True)))
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: is not UTF-8 text (byte {error.start}){_packed(path)}") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from None
    if empty:
        raise InputError(f"{path}: holds no request; it needs {_NEXT}")


def _require_size(path: Path) -> None:
    """Refuse a file that is too large before it is read: lines are counted some hundred times as fast."""
    size = path.stat().st_size
    if size > MAX_BYTES:
        raise InputError(f"{path}: {size / 1e6:,.0f} MB, at most {MAX_BYTES / 1e6:,.0f} MB are read; use a part of it")
    lines = 0
    with path.open("rb") as stream:
        while part := stream.read(_COUNTED_BYTES):
            lines += part.count(b"\n")
    if lines > MAX_ROWS + 1:  # a header is none
        raise InputError(f"{path}: {lines:,} lines, at most {MAX_ROWS:,} requests are read; use a part of it")


def _packed(path: Path) -> str:
    """Return what to do about a file that is packed, as its first bytes tell."""
    with path.open("rb") as stream:
        start = stream.read(4)
    names = {b"\x1f\x8b": "gzip", b"PK": "zip", b"\x28\xb5": "zstd", b"BZ": "bzip2", b"\xfd7": "xz"}
    return f"; it is packed with {names[start[:2]]}: unpack it first" if start[:2] in names else ""


def _starts_as_json(stream: IO[str]) -> bool:
    start = stream.read(256)
    stream.seek(0)
    return start.lstrip().startswith("{")


def _lines(stream: IO[str], path: Path) -> Iterator[str]:
    """Yield the lines of a file, none of them longer than allowed; looked at in parts of many lines."""
    number = 0
    while part := stream.read(_PART_CHARACTERS):
        part += stream.readline(MAX_LINE_CHARACTERS)
        lines = list(StringIO(part, newline=""))
        if "\0" in part or len(max(lines, key=len)) >= MAX_LINE_CHARACTERS:
            _refuse_line(lines, number, path)
        yield from lines
        number += len(lines)


def _refuse_line(lines: list[str], before: int, path: Path) -> NoReturn:
    for number, line in enumerate(lines, start=before + 1):
        if len(line) >= MAX_LINE_CHARACTERS:
            raise InputError(f"{path}, line {number}: longer than {MAX_LINE_CHARACTERS:,} characters")
        if "\0" in line:
            raise InputError(f"{path}, line {number}: is not text (holds a zero byte)")
    raise AssertionError


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
        lacks = None in found
        cells = itemgetter(*(-1 if place is None else place for place in found))  # the last one is put there: None
        for row in reader:
            if row:
                if len(row) <= last:
                    raise InputError(f"{path}, line {reader.line_num}: {len(row)} cells, the header has {len(header)}")
                yield reader.line_num, cells([*row, None] if lacks else row)
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


def lengths_tokens(values: Sequence[Any], path: Path, numbers: Sequence[int]) -> npt.NDArray[np.float64]:
    """Return lengths of a trace [B tokens].

    Raises:
        InputError: One is not a number from 0 to 1e8; its line is named.
    """
    try:
        found = np.fromiter(map(float, values), np.float64, len(values))
    except (TypeError, ValueError, OverflowError):
        found = None
    if found is None or bool in set(map(type, values)) or not ((found >= 0) & (found <= _LONGEST_TOKENS)).all():
        found = np.array([_length_tokens(*one, path) for one in zip(values, numbers, strict=True)])
    return found


def _length_tokens(value: Any, number: int, path: Path) -> float:
    try:
        tokens = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError, OverflowError):
        tokens = math.nan
    if not 0 <= tokens <= _LONGEST_TOKENS:
        raise InputError(f"{path}, line {number}: {str(value)[:40]!r} is not a number of tokens from 0 on")
    return tokens
