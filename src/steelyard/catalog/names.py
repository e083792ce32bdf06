"""Names as people write them: the part that says which record is meant, and what must only be true of that record.

`NVIDIA H100 80GB HBM3` is `h100` with three claims: made by NVIDIA, 80 GB, of the third HBM. Letters' case and what
stands between words never count; only between two digits a separator does (`llama-3-8b` is not `llama-38b`).
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from steelyard.records.model import ModelRecord
from steelyard.records.system import Accelerator
from steelyard.records.workload import Workload

MAKERS: Mapping[str, frozenset[str]] = {
    "nvidia": frozenset({"nvidia", "geforce", "tesla"}),
    "amd": frozenset({"amd", "instinct", "radeon"}),
    "google": frozenset({"google", "cloud", "tpu"}),
    "intel": frozenset({"intel", "habana"}),
    "aws": frozenset({"aws", "amazon"}),
    "apple": frozenset({"apple"}),
}
"""What a vendor (its name in small letters) writes before the names of its devices: itself and its lines."""

DEVICE_WORDS = frozenset({"gpu", "accelerator", "graphics", "tensor", "core", "r", "tm"})
"""Words beside the name of a device that tell it from no other."""

MODEL_MAKERS = frozenset({"meta", "nvidia"})
"""Organisations that put themselves before the name of a model, beyond the `organisation/` of a repository."""

MODEL_WORDS = frozenset({"hf", "base", "pt", "instruct", "chat", "it"})
"""Words for how a model was trained after its pretraining: its shape stays (`tests/catalog/test_names.py`)."""

_REPOSITORY = re.compile(r"\w[\w.-]*/([^/\\]+)")
_WORD = re.compile(r"[^\W_]+(?:(?<=\d)\.(?=\d)[^\W_]+)*")
_BETWEEN = re.compile(r"(?<!\d)-|-(?!\d)")
_MEMORY = re.compile(r"(?<![^\W_])(\d+(?:\.\d+)?)[\s_-]?g(?:i?b)?(?![^\W_])")
_MEMORY_TYPE = re.compile(r"(?<![^\W_])((?:hbm|gddr|lpddr)\d)[ex]?(?![^\W_])")


@dataclass(frozen=True, slots=True, kw_only=True)
class Name:
    """A name, read: `core` says which record is meant, the rest must be true of it."""

    core: str
    memory_bytes: tuple[float, ...] = ()
    memory_types: tuple[str, ...] = ()  # "hbm3" also for HBM3e, "gddr6" also for GDDR6X
    makers: frozenset[str] = frozenset()


@functools.lru_cache(maxsize=16_384)  # an unknown name is compared with every known one
def device_name(text: str) -> Name:
    """Return the name of an accelerator, read.

    Example:
        >>> device_name("NVIDIA H100 80GB HBM3") == device_name("nvidia-h100_80 GB HBM3")
        True
        >>> device_name("A100-SXM4-80GB").core, device_name("GeForce RTX 4090").core
        ('a100sxm4', 'rtx4090')
    """
    folded = text.casefold()
    sizes = tuple(float(size) * 1e9 for size in _MEMORY.findall(folded))  # GB and GiB: one number on a label
    types = tuple(_MEMORY_TYPE.findall(folded))
    words = _WORD.findall(_MEMORY_TYPE.sub(" ", _MEMORY.sub(" ", folded)))
    makers = frozenset(word for word in words if any(word in lines for lines in MAKERS.values()))
    said = [word for word in words if word not in makers and word not in DEVICE_WORDS]
    return Name(core=_joined(said or words), memory_bytes=sizes, memory_types=types, makers=makers)


@functools.lru_cache(maxsize=16_384)  # an unknown name is compared with every known one
def model_name(text: str) -> Name:
    """Return the name of a model, read; the organisation of its repository says nothing of its shape.

    What looks like a path on a disk is no name of a model: all of it is its core.

    Example:
        >>> model_name("somebody/Meta-Llama-3.1-8B-Instruct").core, model_name("llama 3.1 8b").core
        ('llama3.1-8b', 'llama3.1-8b')
    """
    repository = _REPOSITORY.fullmatch(text.strip())
    if repository is None and ("/" in text or "\\" in text):
        return Name(core=text)
    words = _WORD.findall((repository[1] if repository else text).casefold().replace("+", " plus"))
    named = words[1:] if words and words[0] in MODEL_MAKERS else words
    return Name(core=_joined([word for word in named if word not in MODEL_WORDS] or words))


def plain_name(text: str) -> Name:
    """Return a name in which every word counts."""
    return Name(core=_joined(_WORD.findall(text.casefold())))


def is_true_of(name: Name, record: Accelerator | ModelRecord | Workload) -> bool:
    """Tell whether a record is what a name claims beside its core: its maker, its memory.

    Example:
        >>> from steelyard import catalog
        >>> card = catalog.accelerator("a100-sxm4-80gb")
        >>> is_true_of(device_name("NVIDIA A100 80GB"), card), is_true_of(device_name("A100 40GB"), card)
        (True, False)
    """
    if not isinstance(record, Accelerator):
        return True
    vendor = record.vendor.casefold()
    return (
        name.makers <= MAKERS.get(vendor, frozenset())
        and all(abs(size - record.hbm_bytes) < 0.5e9 for size in name.memory_bytes)  # labels are whole GB
        and all(kind == record.memory_type.casefold().rstrip("ex") for kind in name.memory_types)
    )


def _joined(words: Iterable[str]) -> str:
    return _BETWEEN.sub("", "-".join(words))
