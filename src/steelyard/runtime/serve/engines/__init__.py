"""Engines: one file an outside program, all with `refuse` and `command`."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Protocol, cast

from steelyard.errors import InputError, UnknownError, unknown
from steelyard.runtime.serve.spec import Reads, ReplicaSpec

ENGINES = ("vllm", "llamacpp", "transformers", "sleep")  # in the order in which they are tried


class Engine(Protocol):
    """What a module of this folder offers."""

    @property
    def OPTIONS(self) -> Mapping[str, Reads] | None:
        """Options that it alone has, as for `options_of`."""

    def refuse(self, model: str) -> str:
        """Return why this engine cannot serve a model here (what it is, what is not installed), or nothing."""

    def command(self, spec: ReplicaSpec) -> list[str]:
        """Return the command line of a process that serves it, OpenAI-compatible, on 127.0.0.1 at `spec.port`."""


def engine(name: str) -> Engine:
    """Return an engine by name; UnknownError names the nearest."""
    if name not in ENGINES:
        raise UnknownError(unknown("engine", name, ENGINES))
    return cast("Engine", import_module(f"steelyard.runtime.serve.engines.{name}"))


def engine_for(model: str, wanted: str | None = None) -> str:
    """Return the name of the engine for a model: the one wanted, else the first that can serve it here.

    Raises:
        UnknownError: No such engine.
        InputError: There is no such model, or no engine here can serve it; each says why.
    """
    if wanted is not None:
        reason = engine(wanted).refuse(model)
        if reason:
            raise InputError(f"{wanted} cannot serve {model or 'no model'}: {reason}")
        return wanted
    if not Path(model).exists():
        raise InputError(f"{model}: no such file or folder; give a GGUF file, or a folder with config.json")
    reasons = {name: engine(name).refuse(model) for name in ENGINES if name != "sleep"}
    for name, reason in reasons.items():
        if not reason:
            return name
    told = "; ".join(f"{name}: {reason}" for name, reason in reasons.items())
    raise InputError(f"{model}: no engine here can serve it ({told})")


def is_model_folder(model: str) -> bool:
    """Tell whether this is a folder in Hugging Face's layout."""
    return (Path(model) / "config.json").is_file()
