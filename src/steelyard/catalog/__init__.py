"""Facts with provenance: accelerators, models, workloads, prices, grids, each figure with source and date.

Each kind is read when it is first asked for; folders named by `STEELYARD_DATA` add to it or replace records.
"""

from __future__ import annotations

from collections.abc import Mapping

from steelyard.catalog.check import Issue, check
from steelyard.catalog.files import measured_folder, overlay
from steelyard.catalog.find import fold
from steelyard.catalog.lists import kinds, listing
from steelyard.catalog.load import (
    load_accelerators,
    load_calibration,
    load_models,
    load_sources,
    load_workloads,
)
from steelyard.catalog.memory import forget, remembered
from steelyard.catalog.published import Published, published, read_published
from steelyard.catalog.record_text import model_text, parsed_model, user_model_file
from steelyard.catalog.show import Description, FigureLine, describe
from steelyard.catalog.stored import stored_as
from steelyard.catalog.tables import Row, Table, load_table, table, table_names
from steelyard.errors import UnknownError, unknown
from steelyard.records.figure import Figure, Source
from steelyard.records.model import ModelRecord
from steelyard.records.system import Accelerator
from steelyard.records.workload import Workload

__all__ = [
    "Description",
    "FigureLine",
    "Issue",
    "Published",
    "Row",
    "Table",
    "accelerator",
    "accelerators",
    "benchmarks",
    "calibration",
    "check",
    "describe",
    "has_model",
    "kinds",
    "listing",
    "measured_folder",
    "model",
    "model_text",
    "models",
    "overlay",
    "parsed_model",
    "published",
    "quality_scores",
    "read_published",
    "refresh",
    "remembered",
    "source",
    "sources",
    "table",
    "table_names",
    "user_model_file",
    "workload",
    "workloads",
]


def accelerator(ref: str) -> Accelerator:
    """Return an accelerator by id or alias, however it is written: case, separators, maker, its own memory.

    Raises:
        UnknownError: There is none, and the message names the nearest; or several, and it names them.

    Example:
        >>> accelerator("NVIDIA H100 80GB HBM3").id
        'h100-sxm5-80gb'
    """
    return load_accelerators(overlay()).get(ref)


def accelerators() -> Mapping[str, Accelerator]:
    """Return all accelerators by id."""
    return load_accelerators(overlay()).records


def model(ref: str) -> ModelRecord:
    """Return a model's record by id or alias, Hugging Face names included, whosever; UnknownError names the nearest.

    A checkpoint without a record, named after its model and a format, is that model as the usual tool stores it.

    Example:
        >>> model("Llama 3.1 8B").id, model("somebody/Llama-3.1-8B-Instruct").id
        ('llama-3.1-8b', 'llama-3.1-8b')
        >>> quantised = model("Qwen/Qwen2.5-7B-Instruct-AWQ")
        >>> quantised.id, quantised.basis, quantised.config["quantization_config"]["bits"]
        ('qwen2.5-7b-awq', 'assumed', 4)
    """
    known = load_models(overlay())
    try:
        return known.get(ref)
    except UnknownError:
        if (found := stored_as(ref, known)) is None:
            raise
        return found


def has_model(ref: str) -> bool:
    """Tell whether a model has exactly this id or alias, whatever the case: such a name goes before a file's."""
    return fold(ref) in load_models(overlay()).names


def models() -> Mapping[str, ModelRecord]:
    """Return all models by id."""
    return load_models(overlay()).records


def workload(ref: str) -> Workload:
    """Return a workload preset by id or alias; UnknownError names the nearest."""
    return load_workloads(overlay()).get(ref)


def workloads() -> Mapping[str, Workload]:
    """Return all workload presets by id."""
    return load_workloads(overlay()).records


def source(ref: str) -> Source:
    """Return a source by id; UnknownError names the nearest."""
    known = load_sources(overlay())
    if ref not in known:
        raise UnknownError(unknown("source", ref, known, next_step="see `steelyard catalog list sources`"))
    return known[ref]


def sources() -> Mapping[str, Source]:
    """Return all sources by id."""
    return load_sources(overlay())


def calibration(name: str) -> Mapping[str, Figure]:
    """Return the figures of one calibration ("device", "training", "inference") by their dotted names."""
    known = load_calibration(overlay())
    if name not in known:
        raise UnknownError(unknown("calibration", name, known))
    return known[name]


def benchmarks() -> tuple[str, ...]:
    """Return the ids of the benchmarks that the catalogue has scores of."""
    return tuple(sorted({row["benchmark"] for row in table("benchmarks").rows}))


def quality_scores(benchmark: str) -> tuple[Row, ...]:
    """Return all scores on one benchmark; scores of two benchmarks, or of versions of one, never mix.

    Raises:
        UnknownError: The catalogue has no such benchmark; the message names the nearest.
    """
    rows = table("benchmarks").where(benchmark=benchmark)
    if not rows:
        raise UnknownError(unknown("benchmark", benchmark, benchmarks()))
    return rows


def refresh() -> None:
    """Forget everything read, so that files that changed meanwhile are read again."""
    for read in (load_sources, load_accelerators, load_models, load_workloads, load_calibration, load_table):
        read.cache_clear()
    forget()
