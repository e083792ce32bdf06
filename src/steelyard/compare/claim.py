"""What a judged claim is, and the one rule by which shares of cases become verdicts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from steelyard import catalog
from steelyard.errors import CatalogError
from steelyard.records.figure import Figure

ClaimVerdict = Literal["holds", "holds if", "does not hold", "no source"]

HOLDS: ClaimVerdict = "holds"
HOLDS_IF: ClaimVerdict = "holds if"
DOES_NOT_HOLD: ClaimVerdict = "does not hold"
NO_SOURCE: ClaimVerdict = "no source"
NEARLY_ALL_RATIO = 0.9  # from this share of cases on a claim holds; at one less this share it does not

RULE = (
    "holds: true in at least 90% of the cases; does not hold: in at most 10%; holds if: between, with the condition "
    "under which it is; no source: nothing published states it"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Number:
    """One number behind a verdict, in SI, with where it comes from.

    `basis` is that of a catalogue figure, "computed" from such figures, or "predicted" by the model of this program.
    """

    label: str
    value: float
    unit: str
    basis: str
    low: float | None = None
    high: float | None = None
    source: str = ""

    def to_dict(self) -> dict[str, Any]:
        own: dict[str, Any] = {
            "label": self.label,
            "value": self.value,
            "unit": self.unit,
            "basis": self.basis,
        }
        if self.low is not None or self.high is not None:
            own |= {"low": self.low, "high": self.high}
        return own | ({"source": self.source} if self.source else {})


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """A claim that people repeat, recomputed: verdict, the condition it needs, one sentence, numbers, sources."""

    id: str
    text: str
    verdict: ClaimVerdict
    condition: str  # empty where none is needed
    sentence: str
    numbers: tuple[Number, ...]
    sources: tuple[str, ...]  # ids of the catalogue

    def number(self, label: str) -> Number:
        """Return the number with a label.

        Raises:
            KeyError: The claim has none.
        """
        for number in self.numbers:
            if number.label == label:
                return number
        raise KeyError(label)

    def to_dict(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "text": self.text,
            "verdict": self.verdict,
            "condition": self.condition,
            "sentence": self.sentence,
            "numbers": [number.to_dict() for number in self.numbers],
            "sources": list(self.sources),
        }


def verdict_of_share(true_ratio: float) -> ClaimVerdict:
    """Return the verdict for the share of cases in which a claim is true.

    Example:
        >>> [verdict_of_share(share) for share in (0.95, 0.5, 0.05)]
        ['holds', 'holds if', 'does not hold']
    """
    if true_ratio >= NEARLY_ALL_RATIO:
        return HOLDS
    return DOES_NOT_HOLD if true_ratio <= 1 - NEARLY_ALL_RATIO + 1e-12 else HOLDS_IF


def verdict_of_cases(cases: Mapping[str, bool]) -> tuple[ClaimVerdict, tuple[str, ...]]:
    """Return the verdict over named cases, and the names of those in which the claim is true."""
    true = tuple(name for name, holds in cases.items() if holds)
    return verdict_of_share(len(true) / len(cases)), true


def anchor(name: str) -> Figure:
    """Return a published number of the anchors table by its id."""
    (row,) = catalog.table("anchors").where(id=name)
    return row.figures["value"]


def bounds(name: str) -> tuple[float, float]:
    """Return the printed range of an anchor in SI."""
    figure = anchor(name)
    if figure.low is None or figure.high is None:
        raise CatalogError(f"anchors: {name} has no printed range")
    return figure.low, figure.high


def published(label: str, figure: Figure) -> Number:
    """Return a catalogue figure as a number of a claim."""
    spread = figure.low is not None and figure.low != figure.high
    return Number(
        label=label,
        value=figure.value,
        unit=figure.unit,
        basis=figure.basis,
        low=figure.low if spread else None,
        high=figure.high if spread else None,
        source=figure.source,
    )


def computed(label: str, value: float, unit: str, *, low: float | None = None, high: float | None = None) -> Number:
    """Return a number computed from catalogue figures."""
    return Number(label=label, value=float(value), unit=unit, basis="computed", low=low, high=high)


def predicted(label: str, value: float, unit: str) -> Number:
    """Return a number predicted by the model."""
    return Number(label=label, value=float(value), unit=unit, basis="predicted")
