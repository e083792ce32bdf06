"""What all predictions of one configuration have alike: a text, the trees behind it, a JSON document."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Protocol

from steelyard.records.term import Term
from steelyard.report import explain as trees
from steelyard.report.json_document import document, dump


class Prediction(Protocol):
    """A result that explains itself."""

    def to_dict(self) -> dict[str, Any]: ...
    def trees(self) -> dict[str, Term]: ...
    @property
    def sources(self) -> tuple[str, ...]: ...
    @property
    def warnings(self) -> tuple[str, ...]: ...


def render_prediction(
    found: Prediction,
    *,
    schema: str,
    inputs: Mapping[str, Any],
    title: str,
    plain: Iterable[str],
    form: str | None,
    explain: bool,
) -> str:
    """Return a prediction as text (its lines come from `plain`), as "json", or as the trees of terms behind it."""
    if explain:
        return "\n".join(tree_lines(found, title)) + "\n"
    if form != "json":
        return "\n".join(plain) + "\n"
    breakdown = {name: tree.to_dict() for name, tree in found.trees().items()}
    return dump(
        document(
            schema,
            inputs=dict(inputs),
            result=found.to_dict(),
            breakdown=breakdown,
            sources=found.sources,
            warnings=found.warnings,
        )
    )


def tree_lines(found: Prediction, title: str) -> Iterator[str]:
    """Yield every tree of terms of a prediction, under its name."""
    yield f"{title}; the median case"
    for name, tree in found.trees().items():
        yield from ("", name.upper(), *trees.lines(tree))
