"""Every simulated request in a file: CSV, or Parquet where pyarrow is installed; the whole file or none."""

from __future__ import annotations

import csv
import os
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

import numpy as np

from steelyard.errors import InputError
from steelyard.records.requests import SimulatedRequests

COLUMNS = ("id", "arrival_s", "first_token_s", "end_s", "ttft_s", "tpot_s", "e2e_s", "isl_tokens", "osl_tokens",
           "cached_tokens", "num_preemptions", "replica")  # fmt: skip


class EventFile:
    """Takes requests in batches; the file appears under its name once all are in."""

    def __init__(self, path: Path) -> None:
        """Open a draft beside the file.

        Raises:
            InputError: Another ending than .csv or .parquet, pyarrow is missing, or the folder cannot be written.
        """
        self.path = path
        self.draft = path.with_name(f".{path.name[:200]}.{os.getpid()}.part")
        kind = path.suffix.lower()
        if kind not in {".csv", ".parquet"}:
            raise InputError(f"--events {path}: ends in neither .csv nor .parquet")
        if path.is_dir():
            raise InputError(f"--events {path}: is a folder")
        try:
            self._sink: _Csv | _Parquet = _Csv(self.draft) if kind == ".csv" else _Parquet(self.draft)
        except OSError as error:
            raise InputError(f"--events {path}: cannot be written: {error.strerror or error}") from None

    def write(self, events: SimulatedRequests) -> None:
        """Add requests."""
        try:
            self._sink.write({name: getattr(events, name) for name in COLUMNS})
        except OSError as error:
            raise InputError(f"--events {self.path}: cannot be written: {error.strerror or error}") from None

    def __enter__(self) -> Self:
        """Return itself; leaving gives the file its name, or removes it after an error."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the draft; keep it only when nothing went wrong."""
        try:
            self._sink.close()
            if kind is None:
                self.draft.replace(self.path)
        except OSError as broken:  # such as a full disk, which shows when the rest is written
            raise InputError(f"--events {self.path}: cannot be written: {broken.strerror or broken}") from None
        finally:
            self.draft.unlink(missing_ok=True)


class _Csv:
    def __init__(self, path: Path) -> None:
        self._file: IO[str] = path.open("x", encoding="utf-8", newline="")
        self._writer = csv.writer(self._file)
        self._writer.writerow(COLUMNS)

    def write(self, columns: dict[str, Any]) -> None:
        shown = [_cells(values) for values in columns.values()]
        self._writer.writerows(zip(*shown, strict=True))

    def close(self) -> None:
        self._file.close()


def _cells(values: Any) -> list[Any]:
    """Return plain numbers; times to the microsecond, empty where there is none."""
    if values.dtype.kind == "f":
        return ["" if np.isnan(value) else f"{value:.6f}" for value in values.tolist()]
    return list(values.tolist())


class _Parquet:
    def __init__(self, path: Path) -> None:
        try:
            import pyarrow as pa
            from pyarrow import parquet
        except ImportError:
            raise InputError(
                "--events: a .parquet file needs pyarrow (pip install pyarrow); .csv works without"
            ) from None
        self._arrow: Any = pa
        self._make: Any = parquet.ParquetWriter
        self._path = path
        self._writer: Any = None

    def write(self, columns: dict[str, Any]) -> None:
        batch = self._arrow.table(columns)
        if self._writer is None:
            self._writer = self._make(self._path, batch.schema)
        self._writer.write_table(batch)

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()
        else:
            self._path.touch()
