"""A model as the catalogue holds it: its configuration and where that came from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

from steelyard.records.figure import Basis


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelRecord:
    """A catalogue entry; `config` has the keys of a Hugging Face `config.json`. `arch` turns it into operators."""

    id: str
    name: str
    config: Mapping[str, Any]
    source: str
    as_of: date
    basis: Basis  # of the configuration: published, derived from another checkpoint's, or assumed (`note` says why)
    aliases: tuple[str, ...] = ()
    benchmark_names: tuple[str, ...] = ()  # names under which the quality tables hold it (instruct variants)
    licence: str = ""
    note: str = ""
