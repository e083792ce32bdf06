"""Streams documents out of text, JSON lines and Parquet files, a piece at a time."""

from __future__ import annotations

import json
import sysconfig
from collections.abc import Iterator
from dataclasses import dataclass
from glob import glob
from pathlib import Path

from steelyard.errors import InputError, first_line

TEXT_ENDINGS = (".txt", ".md", ".rst", ".py", ".c", ".h", ".rs", ".go", ".js", ".ts", ".java", ".html", ".tex")
ENDINGS = (*TEXT_ENDINGS, ".jsonl", ".parquet")
_MAX_PIECE_BYTES = 1 << 20
_MIN_PIECE_BYTES = 2 << 10
_MANY_FILES = 100  # from here on whole files are held out, below pieces of them
_PIECES = 500  # a corpus of few text files gives about so many pieces, so that some can be held out


@dataclass(frozen=True, slots=True)
class Document:
    """A text, and what decides whether it is held out: documents of equal key are on the same side."""

    key: str
    text: str


def corpus_files(data: Path | None) -> list[Path]:
    """Return the files of a corpus in a fixed order: a file, all known files of a folder, or a glob.

    None is the source text of Python's standard library, without its tests: a corpus that is on every machine.

    Raises:
        InputError: There are none.
    """
    if data is None:
        root = Path(sysconfig.get_path("stdlib"))
        skipped = {"site-packages", "dist-packages", "test", "tests", "idle_test", "__pycache__"}
        return sorted(path for path in root.rglob("*.py") if not skipped & set(path.relative_to(root).parts))
    if data.is_file():
        return [data]
    if data.is_dir():
        files = sorted(path for path in data.rglob("*") if path.suffix.lower() in ENDINGS and path.is_file())
        if not files:
            raise InputError(f"data: no file to read in {data}; allowed: {', '.join(ENDINGS)}, or give a glob")
        return files
    files = sorted(path for path in map(Path, glob(str(data), recursive=True)) if path.is_file())  # noqa: PTH207
    if not files:
        raise InputError(f"data: no such file, folder or glob: {data}")
    return files


def documents(files: list[Path], *, text_field: str = "text") -> Iterator[Document]:
    """Yield the documents of files: rows of JSON lines and Parquet, text files, long ones in pieces of up to 1 MiB.

    Raises:
        InputError: A file cannot be read, or has no such field; names file and line.
    """
    texts = [path for path in files if path.suffix.lower() not in (".jsonl", ".parquet")]
    many = len(texts) >= _MANY_FILES
    share = sum(path.stat().st_size for path in texts) // _PIECES
    piece_bytes = _MAX_PIECE_BYTES if many else min(_MAX_PIECE_BYTES, max(_MIN_PIECE_BYTES, share))
    for path in files:
        try:
            if path.suffix.lower() == ".jsonl":
                yield from _json_lines(path, text_field)
            elif path.suffix.lower() == ".parquet":
                yield from _parquet(path, text_field)
            else:
                yield from _text(path, piece_bytes, whole=many)
        except OSError as error:
            raise InputError(f"{path}: cannot be read: {error.strerror or error}") from None


def _text(path: Path, piece_bytes: int, *, whole: bool) -> Iterator[Document]:
    key = ""
    with path.open(encoding="utf-8", errors="replace", newline="") as file:
        while piece := file.read(piece_bytes):  # about so many characters
            piece += file.readline(piece_bytes)  # to the end of a line, unless the text has none for long
            key = key if whole and key else piece
            yield Document(key, piece)


def _json_lines(path: Path, field: str) -> Iterator[Document]:
    with path.open(encoding="utf-8", errors="replace") as file:
        for number, line in enumerate(file, start=1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except json.JSONDecodeError as error:
                raise InputError(f"{path}: line {number}: not JSON: {error.msg}") from None
            if not isinstance(row, dict) or not isinstance(row.get(field), str):
                held = ", ".join(list(row)[:12]) if isinstance(row, dict) else type(row).__name__
                raise InputError(f"{path}: line {number}: no text in {field!r} (it holds: {held}); set text_field")
            text = _encodable(row[field])
            yield Document(text, text)


def _encodable(text: str) -> str:
    """Return a text that UTF-8 can hold: JSON may state half of a character, which no tokenizer takes."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode(errors="replace").decode()
    return text


def _parquet(path: Path, field: str) -> Iterator[Document]:
    import pyarrow as pa
    from pyarrow.parquet import ParquetFile

    try:
        with ParquetFile(path) as file:
            names = file.schema_arrow.names
            if field not in names:
                raise InputError(f"{path}: no column {field!r} (it holds: {', '.join(names[:12])}); set text_field")
            for batch in file.iter_batches(batch_size=1024, columns=[field]):
                for value in batch.column(0).to_pylist():
                    if isinstance(value, str):
                        yield Document(value, value)
    except pa.ArrowException as error:
        raise InputError(f"{path}: not Parquet that can be read: {first_line(error)}") from None
