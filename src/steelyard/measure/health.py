"""What is installed, what can be done with it here, and how old the data is."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from importlib.metadata import PackageNotFoundError, requires, version
from importlib.util import find_spec
from pathlib import Path

from steelyard import catalog
from steelyard.catalog.files import FOLDERS
from steelyard.errors import UnknownError
from steelyard.records.user_cache import user_cache

CAPABILITIES = (  # what, the modules it needs, the extra that brings them
    ("train a model (steelyard train)", ("torch", "transformers", "tokenizers", "safetensors"), "run"),
    ("fine-tune with adapters (--lora)", ("torch", "transformers", "peft"), "run"),
    ("serve GGUF files and small models (llama.cpp)", ("xllamacpp", "gguf", "starlette", "uvicorn"), "run"),
    ("serve any Hugging Face folder (Transformers)", ("torch", "transformers", "starlette", "uvicorn"), "run"),
    ("serve with vLLM", ("vllm", "starlette", "uvicorn"), ""),
    ("ask downstream tasks (--task)", ("lm_eval", "torch", "transformers"), "eval"),
    ("train and serve on a Ray cluster (--ray)", ("ray",), "cluster"),
    ("the local page (steelyard web)", ("starlette", "uvicorn"), "web"),
    ("tables of answers as data frames", ("pandas",), ""),
    ("request events as Parquet", ("pyarrow",), "run"),
)
PRICES = ("api_prices", "gpu_prices", "electricity", "hosted_finetuning")
_GPU_TIMEOUT_S = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Capability:
    """One thing that can, or cannot, be done here."""

    name: str
    missing: tuple[str, ...]  # modules
    extra: str  # that brings them; empty where none of ours does

    @property
    def next_step(self) -> str:
        if not self.missing:
            return ""
        return f"pip install 'steelyard[{self.extra}]'" if self.extra else f"pip install {' '.join(self.missing)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class DataAge:
    """How old the newest row of a table of prices is."""

    table: str
    num_rows: int
    newest: date
    age_days: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """What `steelyard doctor` found."""

    python: str
    system: str
    cores: int
    gpus: tuple[str, ...]
    packages: tuple[tuple[str, str], ...]  # required and optional ones that are here: name, version
    capabilities: tuple[Capability, ...]
    ages: tuple[DataAge, ...]
    findings: tuple[tuple[str, int], ...]  # of the catalogue's check: level, count
    own_folders: tuple[str, ...]  # of STEELYARD_DATA
    measured: tuple[str, ...]  # records of machines that were measured
    cache: str

    @property
    def problems(self) -> tuple[str, ...]:
        """What is broken, rather than absent."""
        broken = [f"the catalogue has {count} errors: steelyard catalog check" for level, count in self.findings
                  if level == "error" and count]  # fmt: skip
        gone = [f"STEELYARD_DATA: {folder} is no folder" for folder in self.own_folders if not Path(folder).is_dir()]
        return (*broken, *gone)


def examine(today: date) -> Health:
    """Return what is here.

    Args:
        today: The date against which ages are counted.
    """
    counted = Counter(issue.level for issue in catalog.check(today))
    folders = tuple(part for part in os.environ.get("STEELYARD_DATA", "").split(os.pathsep) if part)
    return Health(
        python=platform.python_version(),
        system=f"{platform.system()} {platform.machine()}",
        cores=os.cpu_count() or 1,
        gpus=tuple(_gpus()),
        packages=tuple(_packages()),
        capabilities=tuple(
            Capability(name=name, missing=tuple(module for module in modules if not _installed(module)), extra=extra)
            for name, modules, extra in CAPABILITIES
        ),
        ages=tuple(_age(name, today) for name in PRICES),
        findings=tuple((level, counted[level]) for level in ("error", "warning", "note")),
        own_folders=folders,
        measured=tuple(_measured()),
        cache=str(user_cache()),
    )


def _installed(module: str) -> bool:
    return find_spec(module) is not None


def _packages() -> Iterator[tuple[str, str]]:
    """Yield every package that steelyard or one of its extras names and that is installed, with its version."""
    yield "steelyard", version("steelyard")
    names = {re.split(r"[\s\[<>=!~;]", line, maxsplit=1)[0] for line in requires("steelyard") or []}
    for name in sorted(names - {"steelyard"}, key=str.casefold):
        try:
            yield name, version(name)
        except PackageNotFoundError:
            continue


def _gpus() -> Iterator[str]:
    """Yield the NVIDIA GPUs that the driver tells of, each with the record that the catalogue has of it."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return
    try:
        told = subprocess.run(  # noqa: S603 - a program of the driver, without words of the user
            [program, "-L"], capture_output=True, text=True, check=True, timeout=_GPU_TIMEOUT_S
        )
    except (OSError, subprocess.SubprocessError):
        return
    for line in filter(str.strip, told.stdout.splitlines()):
        gpu = line.split(" (UUID")[0]
        yield f"{gpu} ({_record_of(gpu.partition(': ')[2])})"


def _record_of(name: str) -> str:
    try:
        return catalog.accelerator(name).id
    except UnknownError:
        return "no record in the catalogue; docs/howto/add-a-gpu.md says how to add one"


def _age(name: str, today: date) -> DataAge:
    rows = catalog.table(name).rows
    newest = max(row.as_of for row in rows)
    return DataAge(table=name, num_rows=len(rows), newest=newest, age_days=(today - newest).days)


def _measured() -> Iterator[str]:
    """Yield the records that `steelyard measure machine` has written."""
    folder = catalog.measured_folder() / FOLDERS[0]
    yield from (str(path) for path in sorted(folder.glob("*.toml")))
