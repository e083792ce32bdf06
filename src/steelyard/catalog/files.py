"""The folders that hold the catalogue, and bounded reading of their files.

The shipped folder comes first, then what `steelyard measure machine` has written for this user, then the folders of
the same layout that `STEELYARD_DATA` adds, joined as in PATH.
"""

from __future__ import annotations

import csv
import functools
import io
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tomli  # the standard library's parser, compiled: a run reads hundreds of files

from steelyard.errors import CatalogError

ENVIRONMENT = "STEELYARD_DATA"
SHIPPED = Path(__file__).parent / "data"
FOLDERS = ("accelerators", "models", "workloads", "calibration", "tables", "sources.d")
MAX_BYTES = 16_000_000  # the largest shipped file is below 0.5 MB


@dataclass(frozen=True, slots=True, kw_only=True)
class DataFile:
    """One file of the catalogue; `origin` is "shipped" or "user"."""

    path: Path
    origin: str

    @property
    def id(self) -> str:
        return self.path.stem

    @property
    def label(self) -> str:
        """The path as messages show it: short for shipped files, whole for the user's own."""
        return self.path.relative_to(SHIPPED).as_posix() if self.origin == "shipped" else str(self.path)


def measured_folder() -> Path:
    """Return the folder of this user's own measurements, which need not exist."""
    return Path(_measured())


def _measured() -> str:
    base = os.environ.get("XDG_DATA_HOME") or _home_data(os.environ.get("HOME"))
    return f"{base}/steelyard/measured"


@functools.lru_cache(maxsize=8)
def _home_data(_home: str | None) -> str:
    return os.path.expanduser("~/.local/share")  # noqa: PTH111 - the text, not a path


def overlay() -> str:
    """Return the user's folders as one text: the key under which everything read is cached."""
    measured = _measured()
    named = os.environ.get(ENVIRONMENT, "")
    return f"{measured}{os.pathsep}{named}" if os.path.isdir(measured) else named  # noqa: PTH112 - asked very often


def roots(folders: str) -> Iterator[tuple[Path, str]]:
    """Yield each catalogue folder with its origin, the shipped one first.

    Raises:
        CatalogError: A folder of `STEELYARD_DATA` does not exist.
    """
    yield SHIPPED, "shipped"
    for folder in filter(None, (part.strip() for part in folders.split(os.pathsep))):
        path = Path(folder).expanduser()
        if not path.is_dir():
            raise CatalogError(f"{ENVIRONMENT}: no folder {folder!r}; create it or correct the variable")
        yield path, "user"


def data_files(kind: str, suffix: str, folders: str) -> Iterator[DataFile]:
    """Yield the files of one kind in all folders, by name within each folder."""
    for root, origin in roots(folders):
        for path in sorted((root / kind).glob(f"*{suffix}")):
            yield DataFile(path=path, origin=origin)


def unread(folders: str) -> Iterator[Path]:
    """Yield what lies in the user's folders and is never read, a misspelt folder for instance."""
    for root, origin in roots(folders):
        if origin == "user":
            found = (path for path in sorted(root.iterdir()) if not path.name.startswith("."))
            yield from (path for path in found if path.name not in FOLDERS)


def _read_text(file: DataFile) -> str:
    try:
        if not file.path.exists():
            raise CatalogError(f"{file.label}: no such file")
        if not file.path.is_file():  # a pipe or a device would block
            raise CatalogError(f"{file.label}: is not a plain file")
        size = file.path.stat().st_size
        if size > MAX_BYTES:
            raise CatalogError(f"{file.label}: {size:,} bytes, at most {MAX_BYTES:,} are read")
        return file.path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise CatalogError(f"{file.label}: is not UTF-8 text (byte {error.start})") from None
    except OSError as error:
        raise CatalogError(f"{file.label}: cannot be read: {error.strerror}") from None


def read_toml(file: DataFile) -> dict[str, Any]:
    """Return the document of a TOML file; CatalogError in one line when it is none."""
    try:
        return tomli.loads(_read_text(file))
    except (ValueError, RecursionError) as error:  # a number of thousands of digits is a plain ValueError
        raise CatalogError(f"{file.label}: is not valid TOML: {_one_line(error)}") from None


def read_csv(file: DataFile) -> tuple[list[str], list[tuple[int, list[str]]]]:
    """Return the header of a CSV file and its rows with their line numbers; empty lines are left out."""
    reader = csv.reader(io.StringIO(_read_text(file), newline=""), strict=True)
    try:
        lines = [(reader.line_num, [cell.strip() for cell in line]) for line in reader if any(line)]
    except csv.Error as error:
        raise CatalogError(f"{file.label}: line {reader.line_num}: is not valid CSV: {_one_line(error)}") from None
    if not lines:
        raise CatalogError(f"{file.label}: is empty; the first line must name the columns")
    header = lines[0][1]
    for number, cells in lines[1:]:
        if len(cells) != len(header):
            raise CatalogError(f"{file.label}: line {number}: {len(cells)} cells, the header has {len(header)}")
    return header, lines[1:]


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]
