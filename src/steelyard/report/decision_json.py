"""A decision as one JSON document, which `steelyard decide` takes back."""

from __future__ import annotations

from steelyard.decide.result import Decision
from steelyard.decide.saved import SCHEMA
from steelyard.report.json_document import document, dump


def render(decision: Decision) -> str:
    """Return the document; its inputs with their seed, draws and day give the same bytes again."""
    return dump(
        document(
            SCHEMA,
            inputs=decision.inputs,
            result=decision.to_dict(),
            breakdown={
                "cost": decision.explained.to_dict(),
                **{one.id: one.tree.to_dict() for one in decision.factors},
            },
            sources=decision.sources,
            warnings=decision.warnings,
        )
    )
