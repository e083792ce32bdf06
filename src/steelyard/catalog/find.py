"""Finding a record by its id or an alias, however people write it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Generic, Protocol, TypeVar

from steelyard.catalog.files import DataFile
from steelyard.catalog.names import Name, is_true_of
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


@dataclass(frozen=True, kw_only=True)
class Collected(Generic[R]):
    """All records of one kind, their files, and every name they answer to."""

    kind: str
    records: Mapping[str, R]
    files: Mapping[str, DataFile]
    names: Mapping[str, str]  # folded id or alias -> id
    read: Callable[[str], Name]  # how names of this kind are read

    def get(self, ref: str) -> R:
        """Return the record that `ref` names.

        Its id or an alias as written comes first; else the record with a name of the same core, if what `ref` says
        beside it (maker, memory) is true of that record.

        Raises:
            UnknownError: There is none, and the message names the nearest; or there are several, and it names them.
        """
        exact = self.names.get(fold(ref))
        if exact is not None:
            return self.records[exact]
        found = self.meant(ref)
        if len(found) == 1:
            return self.records[found[0]]
        step = f"`steelyard catalog list {self.kind}s` shows all"
        if found:
            text = f"{self.kind} {ref!r} can be {' or '.join(found)}; give one of these"
            raise UnknownError(text)
        others = tuple(sorted({record for record, _ in self._by_core.get(self.read(str(ref)).core, ())}))
        if others:
            text = f"unknown {self.kind} {ref!r} (its memory or maker is not that of {', '.join(others)}); {step}"
            raise UnknownError(text)
        known = {*self.records, *(alias for record in self.records.values() for alias in record.aliases)}
        raise UnknownError(unknown(self.kind, str(ref), known, next_step=step, key=lambda name: self.read(name).core))

    def meant(self, ref: str) -> tuple[str, ...]:
        """Return the ids of the records that `ref` can mean; those with exactly this name go before others."""
        asked = self.read(str(ref))
        named = [
            (record, name) for record, name in self._by_core.get(asked.core, ()) if self._fits(asked, name, record)
        ]
        exact = {record for record, name in named if name.memory_bytes == asked.memory_bytes}
        return tuple(sorted(exact or {record for record, _ in named}))

    def _fits(self, asked: Name, name: Name, record: str) -> bool:
        """Tell whether the record can be meant: what is asked is true of it, but for the memory in its own name."""
        said: Any = self.records[record]
        if asked.memory_bytes == name.memory_bytes:  # GH200 480GB names the memory of the CPU beside it
            asked = Name(core=asked.core, memory_types=asked.memory_types, makers=asked.makers)
        return is_true_of(asked, said)

    @cached_property
    def _by_core(self) -> Mapping[str, tuple[tuple[str, Name], ...]]:
        """Return the records and their names by core; where a user's record has a core, shipped ones give way."""
        found: dict[str, list[tuple[str, Name]]] = defaultdict(list)
        for record in self.records.values():
            for text in (record.id, record.name, *record.aliases):
                name = self.read(text)
                found[name.core].append((record.id, name))
        return {core: tuple(self._own(named) or named) for core, named in found.items()}

    def _own(self, named: list[tuple[str, Name]]) -> list[tuple[str, Name]]:
        return [(record, name) for record, name in named if self.files[record].origin == "user"]

    def origin(self, record_id: str) -> str:
        return self.files[record_id].origin


def fold(ref: str) -> str:
    return str(ref).strip().casefold()


def collect(kind: str, loaded: Iterator[tuple[DataFile, R]], read: Callable[[str], Name]) -> Collected[R]:
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
    return Collected(kind=kind, records=records, files=files, names=names, read=read)
