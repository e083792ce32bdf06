"""Request lengths read off a trace file: CSV or JSON lines, in the columns of the public traces."""

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
_ISL = ("isl_tokens", "isl", "contexttokens", "input_length", "input_tokens", "prompt_tokens", "request tokens")
_OSL = (
    "osl_tokens",
    "osl",
    "generatedtokens",
    "output_length",
    "output_tokens",
    "completion_tokens",
    "response tokens",
)
_NEXT = f"a prompt column ({', '.join(_ISL)}) and an answer column ({', '.join(_OSL)})"


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
    try:
        if not path.is_file():
            raise InputError(f"{path}: no such file; give a CSV or JSON lines file with {_NEXT}")
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise InputError(
                f"{path}: {size / 1e6:.0f} MB, at most {MAX_BYTES / 1e6:.0f} MB are read; use a part of it"
            )
        with path.open(encoding="utf-8-sig", newline="") as stream:
            isl, osl = _read(stream, path)
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: is not UTF-8 text (byte {error.start})") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from None
    if not isl:
        raise InputError(f"{path}: holds no request; it needs {_NEXT}")
    return Lengths(
        isl_tokens=np.maximum(np.frombuffer(isl, dtype=np.float64), 1.0),
        osl_tokens=np.maximum(np.frombuffer(osl, dtype=np.float64), 1.0),
        label=f"trace {path.name}, {len(isl):,} requests",
    )


def _read(stream: IO[str], path: Path) -> tuple[array[float], array[float]]:
    isl, osl = array("d"), array("d")
    rows = _json_rows(stream, path) if _starts_as_json(stream) else _csv_rows(stream, path)
    for number, (prompt, answer) in rows:
        if len(isl) == MAX_ROWS:
            raise InputError(f"{path}: more than {MAX_ROWS:,} requests; use a part of it")
        isl.append(_length(prompt, path, number))
        osl.append(_length(answer, path, number))
    return isl, osl


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


def _json_rows(stream: IO[str], path: Path) -> Iterator[tuple[int, tuple[Any, Any]]]:
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
        prompt, answer = _column(keys, _ISL, path, number), _column(keys, _OSL, path, number)
        yield number, (row[prompt], row[answer])


def _csv_rows(stream: IO[str], path: Path) -> Iterator[tuple[int, tuple[str, str]]]:
    reader = csv.reader(_lines(stream, path))
    try:
        header = next(reader, [])
        places = {name.strip().casefold(): place for place, name in enumerate(header)}
        prompt, answer = _column(places, _ISL, path, 1), _column(places, _OSL, path, 1)
        for row in reader:
            if row:
                if len(row) <= max(prompt, answer):
                    raise InputError(f"{path}, line {reader.line_num}: {len(row)} cells, the header has {len(header)}")
                yield reader.line_num, (row[prompt], row[answer])
    except csv.Error as error:
        raise InputError(f"{path}, line {reader.line_num}: {error}") from None


def _column(keys: dict[str, Any], names: tuple[str, ...], path: Path, number: int) -> Any:
    for name in names:
        if name in keys:
            return keys[name]
    raise InputError(f"{path}, line {number}: no column {' or '.join(names)}; it needs {_NEXT}")


def _length(value: Any, path: Path, number: int) -> float:
    try:
        tokens = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError, OverflowError):
        tokens = math.nan
    if not 0 <= tokens <= 1e8:
        raise InputError(f"{path}, line {number}: {str(value)[:40]!r} is not a number of tokens from 0 on")
    return tokens
