"""Finding a record by its id or an alias, whatever the case."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from steelyard.catalog.files import DataFile
from steelyard.catalog.schema import refuse
from steelyard.errors import UnknownError, unknown


class Named(Protocol):
    """A record that can be asked for by name."""

    @property
    def id(self) -> str: ...
    @property
    def name(self) -> str: ...
    @property
    def aliases(self) -> tuple[str, ...]: ...


R = TypeVar("R", bound=Named)


@dataclass(frozen=True, slots=True, kw_only=True)
class Collected(Generic[R]):
    """All records of one kind, their files, and every name they answer to."""

    kind: str
    records: Mapping[str, R]
    files: Mapping[str, DataFile]
    names: Mapping[str, str]  # folded id or alias -> id

    def get(self, ref: str) -> R:
        """Return the record that has `ref` as id or alias.

        Raises:
            UnknownError: There is none; the message names the nearest.
        """
        found = self.names.get(fold(ref))
        if found is None:
            known = {*self.records, *(alias for record in self.records.values() for alias in record.aliases)}
            step = f"`steelyard catalog list {self.kind}s` shows all"
            raise UnknownError(unknown(self.kind, str(ref), known, next_step=step))
        return self.records[found]

    def origin(self, record_id: str) -> str:
        return self.files[record_id].origin


def fold(ref: str) -> str:
    return str(ref).strip().casefold()


def collect(kind: str, loaded: Iterator[tuple[DataFile, R]]) -> Collected[R]:
    """Gather records; a user's record replaces the shipped one of the same id.

    Two of one origin may not share a name; a user's alias wins, so that `h100` can mean their own.
    """
    records: dict[str, R] = {}
    files: dict[str, DataFile] = {}
    for file, record in loaded:
        if record.id in files and file.origin == "shipped":
            refuse(file.label, f"id {record.id!r} is also in {files[record.id].label}")
        records[record.id] = record
        files[record.id] = file
    names: dict[str, str] = {}
    for record in sorted(records.values(), key=lambda record: files[record.id].origin == "user"):
        file = files[record.id]
        for name in (record.id, *record.aliases):
            taken = names.get(fold(name), record.id)
            if taken != record.id and files[taken].origin == file.origin:
                refuse(file.label, f"alias {name!r} also names {taken!r} ({files[taken].label})")
            names[fold(name)] = record.id
    return Collected(kind=kind, records=records, files=files, names=names)
