"""Results as one JSON document: schema, inputs, result, breakdown, sources, warnings, version."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Iterable, Mapping
from typing import Any

from steelyard import __version__, catalog
from steelyard.compare.result import Comparison

COMPARISON_SCHEMA = "steelyard/compare/1"


def comparison_document(comparison: Comparison) -> dict[str, Any]:
    """Return the document of a comparison; its `inputs` are a scenario that can be weighed again."""
    return document(
        COMPARISON_SCHEMA,
        inputs=comparison.inputs,
        result=comparison.to_dict(),
        breakdown={factor.id: factor.tree.to_dict() for factor in comparison.factors},
        sources=comparison.sources,
        warnings=comparison.warnings,
    )


def document(
    schema: str,
    *,
    inputs: Mapping[str, Any],
    result: Any,
    breakdown: Mapping[str, Any],
    sources: Iterable[str],
    warnings: Iterable[str] = (),
) -> dict[str, Any]:
    """Return the document every command prints, its sources spelt out."""
    return {
        "schema": schema,
        "steelyard_version": __version__,
        "inputs": dict(inputs),
        "result": result,
        "breakdown": dict(breakdown),
        "sources": [source_record(source_id) for source_id in sources],
        "warnings": list(warnings),
    }


def source_record(source_id: str) -> dict[str, str]:
    """Return what the catalogue knows of a source; its id alone where that is nothing."""
    found = catalog.sources().get(source_id)
    return {"id": source_id} if found is None else {k: v for k, v in dataclasses.asdict(found).items() if v}


def dump(content: Any) -> str:
    """Return content as JSON; what is not a finite number (no upper end, unknown) becomes null."""
    return json.dumps(_finite(content), indent=2, ensure_ascii=False, allow_nan=False, default=str) + "\n"


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): _finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    return value
