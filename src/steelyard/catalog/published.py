"""Published measurements as plain rows: what predictions are calibrated on and judged by.

Each file holds one measured figure a row with its source. Cells stay text as printed; an empty one means "not stated".
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from steelyard.catalog.files import SHIPPED, DataFile, read_csv
from steelyard.errors import CatalogError, InputError, UnknownError, nearest, unknown

PUBLISHED = ("training", "inference", "operators", "harnesses", "launches", "families")
_NEEDED = {  # columns without which a user's own row means nothing; any other may be absent and is then not stated
    "training": ("source", "model", "gpu", "n_gpus", "metric", "value"),
    "inference": ("source", "model", "gpu", "n_gpus", "metric", "value"),
    "operators": ("source", "gpu", "op", "shape_size", "metric", "value"),
}
_NUMBERS = {
    "training": (
        "n_params_b", "layers", "hidden", "heads", "kv_heads", "ffn", "vocab", "experts", "experts_active", "n_gpus",
        "gpus_per_node", "seq_len", "micro_batch", "global_batch", "tp", "pp", "vpp", "cp", "ep", "dp", "value",
        "lora_rank", "steps",
    ),
    "inference": ("n_params_b", "n_gpus", "tp", "pp", "ep", "dp", "isl", "osl", "load_value", "value", "isl_p90"),
    "operators": ("n_gpus", "value"),
}  # fmt: skip
_LARGEST = 1e18
_OPTIONAL = ("family",)  # a user may say which rows are versions of one origin


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """The rows of one file; each maps every column to its text, "" where it is not stated."""

    name: str
    label: str  # the file, as messages show it
    rows: tuple[Mapping[str, str], ...]
    warnings: tuple[str, ...] = ()


def published(name: str) -> Published:
    """Return the shipped measurements "training", "inference" or "operators", or what is known about them.

    That is "harnesses" (how a source loaded its server), "launches" (how it started the engine) and "families".

    Raises:
        UnknownError: No file of this name.
        CatalogError: The file is broken.
    """
    if name not in PUBLISHED:
        raise UnknownError(unknown("published table", name, PUBLISHED))
    return _shipped(name)


def read_published(path: Path, name: str) -> Published:
    """Return a user's own measurements: a CSV file with the columns of the shipped `name`.

    Columns that a figure can do without may be absent; unknown ones are left out with a warning.

    Raises:
        InputError: The file cannot be read, has no rows, lacks a needed column, or holds a wrong number.
    """
    try:
        header, lines = read_csv(DataFile(path=path, origin="user"))
    except CatalogError as error:
        raise InputError(str(error)) from None
    columns = tuple(published(name).rows[0])
    if missing := [column for column in _NEEDED[name] if column not in header]:
        raise InputError(
            f"{path}: has no column {', '.join(missing)}; needed are {', '.join(_NEEDED[name])}, and any other column "
            f"of {published(name).label} is understood"
        )
    if len(set(header)) != len(header):
        raise InputError(f"{path}: two columns have the same name")
    if not lines:
        raise InputError(f"{path}: has a header and no rows")
    known = (*columns, *_OPTIONAL)
    rows = []
    for number, cells in lines:
        row = dict.fromkeys(known, "") | {k: v for k, v in zip(header, cells, strict=True) if k in known}
        _check_row(row, name, f"{path}: line {number}")
        rows.append(row)
    ignored = tuple(_ignored(column, columns) for column in header if column not in known)
    return Published(name=name, label=str(path), rows=tuple(rows), warnings=ignored)


def _check_row(row: Mapping[str, str], name: str, where: str) -> None:
    for column in _NEEDED[name]:
        if column != "model" and not row[column]:
            raise InputError(f"{where}: has no {column}")
    for column in _NUMBERS[name]:
        text = row[column]
        if not text:
            continue
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not 0 < value < _LARGEST:
            raise InputError(f"{where}: {column} is {text[:40]!r}; allowed: numbers above 0, or empty for not stated")


def _ignored(column: str, known: Iterable[str]) -> str:
    close = nearest(column, known, limit=1)
    return f"column {column[:40]!r} is unknown and left out" + (f" (nearest: {close[0]})" if close else "")


@functools.lru_cache(maxsize=8)
def _shipped(name: str) -> Published:
    file = DataFile(path=SHIPPED / "published" / f"{name}.csv", origin="shipped")
    header, lines = read_csv(file)
    rows = tuple(dict(zip(header, cells, strict=True)) for _, cells in lines)
    return Published(name=name, label=file.label, rows=rows)
