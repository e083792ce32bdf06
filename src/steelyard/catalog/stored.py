"""A checkpoint named after its model and a number format, without a record of its own."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from steelyard.catalog.find import Collected
from steelyard.catalog.tables import Row, table
from steelyard.errors import UnknownError
from steelyard.records.model import ModelRecord

_BETWEEN = r"[\s._:-]+"
_OWN = ("quantization_config", "quantization", "expert_dtype")
_TEXT = ("text_config", "llm_config", "language_config")


def stored_as(ref: str, known: Collected[ModelRecord]) -> ModelRecord | None:
    """Return the record of a model in the format that ends its name, as the format's usual tool stores it by default.

    A record of that name goes before it, and a model whose own file has this method is the model itself. None where no
    format of `tables/weight_formats.csv` ends the name, or what stands before it is no model.

    Assumes: the tool's defaults; which layers stay wide and how many numbers share a scale, the name does not say.
    """
    found = [(match.start(), row) for row in table("weight_formats").rows if (match := _at_end(row["suffix"], ref))]
    for start, row in sorted(found, key=lambda one: one[0]):
        try:
            base = known.get(ref[:start])
        except UnknownError:
            continue
        named = known.records.get(f"{base.id}-{row['suffix']}")
        return named or _in_format(base, row)
    return None


def _at_end(suffix: str, ref: str) -> re.Match[str] | None:
    words = _BETWEEN.join(re.escape(word) for word in suffix.split("-"))
    return re.search(f"{_BETWEEN}{words}$", ref.strip(), re.IGNORECASE)


def _in_format(base: ModelRecord, row: Row) -> ModelRecord:
    parts = {key: value for key, value in base.config.items() if key in _TEXT and isinstance(value, Mapping)}
    stored = json.loads(row["quantization_config"])
    own_file = stored["quant_method"] != "gguf"  # a conversion of whatever the model's own file holds
    if own_file and any(_has_it(part, row["suffix"]) for part in (base.config, *parts.values())):
        return base
    config = _without(base.config) | {key: _without(part) for key, part in parts.items()}
    note = f"its own file was not read: the shape of {base.id}, stored as its name says and the tool does by default"
    return replace(
        base,
        id=f"{base.id}-{row['suffix']}",
        name=f"{base.name} {row['suffix'].upper()}",
        config=config | {"quantization_config": stored},
        source=f"{base.source} + {row.source}",
        basis="assumed",
        aliases=(),
        benchmark_names=(),
        note="; ".join(part for part in (f"{note} ({row['format']})", row["note"], base.note) if part),
    )


def _without(config: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in config.items() if key not in _OWN}


def _has_it(config: Mapping[str, Any], suffix: str) -> bool:
    """Tell whether a model's own file already has the format, under the name of its method or algorithm."""
    own = config.get("quantization_config") or {}
    return suffix.partition("-")[0] in {str(own.get(key)).lower() for key in ("quant_method", "quant_algo")}
