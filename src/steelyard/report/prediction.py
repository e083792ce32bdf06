"""What all predictions of one configuration have alike: their JSON document."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from steelyard.records.term import Term
from steelyard.report.json_document import document


class Prediction(Protocol):
    """A result that explains itself."""

    def to_dict(self) -> dict[str, Any]: ...
    def trees(self) -> dict[str, Term]: ...
    @property
    def sources(self) -> tuple[str, ...]: ...
    @property
    def warnings(self) -> tuple[str, ...]: ...


def prediction_document(found: Prediction, schema: str, inputs: Mapping[str, Any]) -> dict[str, Any]:
    """Return the JSON document of a prediction."""
    return document(
        schema,
        inputs=dict(inputs),
        result=found.to_dict(),
        breakdown={name: tree.to_dict() for name, tree in found.trees().items()},
        sources=found.sources,
        warnings=found.warnings,
    )
