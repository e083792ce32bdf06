"""TOML records of the catalogue: each kind is read once, when it is first asked for.

Everything is cached under the names of the user's folders, so a changed variable is seen at once.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Any, TypeVar

from steelyard.catalog import build
from steelyard.catalog.files import DataFile, data_files, read_toml
from steelyard.catalog.find import Collected, Named, collect
from steelyard.catalog.names import Name, device_name, model_name, plain_name
from steelyard.catalog.schema import refuse, schemas
from steelyard.records.figure import Figure, Source
from steelyard.records.model import ModelRecord
from steelyard.records.system import Accelerator
from steelyard.records.workload import Workload

R = TypeVar("R", bound=Named)
_SOURCE_KEYS = frozenset(Source.__dataclass_fields__)


@functools.lru_cache(maxsize=8)
def load_sources(folders: str) -> Mapping[str, Source]:
    """Return every source by id; an id stands once, but a user's source replaces a shipped one."""
    found: dict[str, Source] = {}
    files: dict[str, DataFile] = {}
    for file in data_files("sources.d", ".toml", folders):
        document = read_toml(file)
        build.only(document, {"source"}, file.label)
        for number, raw in enumerate(_list_of(document, file), start=1):
            where = f"{file.label}: source {number}"
            build.only(raw, _SOURCE_KEYS, where)
            build.texts(raw, ("id", "title"), where)
            name = raw["id"]
            if name in files and files[name].origin == file.origin:
                refuse(where, f"id {name!r} is also in {files[name].label}")
            found[name] = Source(**{part: str(text) for part, text in raw.items()})
            files[name] = file
    return MappingProxyType(found)


def _list_of(document: Mapping[str, Any], file: DataFile) -> list[Any]:
    entries = document.get("source", [])
    if not isinstance(entries, list):
        refuse(file.label, "sources are written as [[source]]")
    return entries


@functools.lru_cache(maxsize=8)
def load_accelerators(folders: str) -> Collected[Accelerator]:
    return _load("accelerator", folders, build.accelerator, device_name)


@functools.lru_cache(maxsize=8)
def load_models(folders: str) -> Collected[ModelRecord]:
    return _load("model", folders, build.model, model_name)


@functools.lru_cache(maxsize=8)
def load_workloads(folders: str) -> Collected[Workload]:
    return _load("workload", folders, build.workload, plain_name)


@functools.lru_cache(maxsize=8)
def load_calibration(folders: str) -> Mapping[str, Mapping[str, Figure]]:
    """Return every calibration by name; a user's figures replace the shipped ones key by key."""
    known = load_sources(folders)
    found: dict[str, dict[str, Figure]] = {}
    for file in data_files("calibration", ".toml", folders):
        raw = read_toml(file)
        build.only(raw, {"id", "name", "note", "defaults", "figures"}, file.label)
        if "id" in raw:
            build.id_matches(raw, file)
        read = build.figures(raw, schemas("schema.toml")["calibration"], file, known)
        if file.id in found:
            # What an engine makes of a device may be restated for serving: any figure of the device's.
            also = found["device"] if file.id == "inference" else {}
            _no_new_fields(read, {**also, **found[file.id]}, file)
        found.setdefault(file.id, {}).update(read)
    return {name: MappingProxyType(figures) for name, figures in found.items()}


def _no_new_fields(read: Mapping[str, Figure], shipped: Mapping[str, Figure], file: DataFile) -> None:
    """Refuse a figure that nothing reads, most likely misspelt, or of another unit; variants (`field.x`) may be new."""
    units = {name.partition(".")[0]: figure.unit for name, figure in shipped.items()}
    for name, figure in read.items():
        field = name.partition(".")[0]
        if field not in units:
            refuse(f"{file.label}: {name}", f"is no figure of this calibration; they are {', '.join(units)}")
        if figure.unit != units[field]:
            refuse(f"{file.label}: {name}", f"is in {figure.unit}, not in {units[field]}")


def _load(
    kind: str,
    folders: str,
    record_of: Callable[[build.Document, DataFile, build.Sources], R],
    read: Callable[[str], Name],
) -> Collected[R]:
    known = load_sources(folders)

    def records() -> Iterator[tuple[DataFile, R]]:
        for file in data_files(f"{kind}s", ".toml", folders):
            raw = read_toml(file)
            build.id_matches(raw, file)
            build.texts(raw, ("name",), file.label)
            yield file, record_of(raw, file, known)

    return collect(kind, records(), read)
