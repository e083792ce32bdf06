"""Quality on one scale that the user chose: a dated benchmark of the catalogue, or their own evaluation.

An option without a score is `unknown`; unknown cannot pass a floor. A score is never carried over from a base model
to its tuned version, nor from one benchmark, or version of one, to another.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from steelyard import catalog
from steelyard.compare.result import Evidence, Quantity
from steelyard.compare.scenario import Scenario
from steelyard.records.estimate import Estimate
from steelyard.records.model import ModelRecord


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """The score of one option on the scenario's scale (None: unknown), and whether it passes the floor."""

    value: Estimate | None
    unit: str
    evidence: Evidence
    note: str
    passes: bool

    def quantity(self, scale: str) -> Quantity:
        return Quantity(
            label=f"quality ({scale})",
            value=self.value,
            unit=self.unit,
            evidence=self.evidence,
            note=self.note,
        )


def score_of(scenario: Scenario, keys: tuple[str, ...]) -> Score:
    """Return the score of an option known by any of `keys` (option name, route, model names; the first hit counts)."""
    floor = scenario.quality.floor
    for key in keys:
        stated = scenario.quality.scores.get(key)
        if stated is not None:
            low = stated.score if stated.low is None else stated.low
            high = stated.score if stated.high is None else stated.high
            value = Estimate(p10=low, p50=stated.score, p90=high)
            passes = floor is None or value.p50 >= floor
            note = stated.basis or "stated in the scenario"
            return Score(value=value, unit="point", evidence="stated", note=note, passes=passes)
    published = _published(scenario.quality.scale, keys)
    if published is not None:
        passes = floor is None or (published.value is not None and published.value.p50 >= floor)
        return Score(value=published.value, unit=published.unit, evidence="cited", note=published.note, passes=passes)
    note = f"no score on {scenario.quality.scale}: evaluate it there to settle this"
    return Score(value=None, unit="point", evidence="assumed", note=note, passes=floor is None)


def _published(scale: str, keys: tuple[str, ...]) -> Score | None:
    if scale not in catalog.benchmarks():
        return None
    rows = catalog.quality_scores(scale)
    for key in keys:
        names = {name.casefold() for name in _spellings(key)}
        hits = [row for row in rows if row["model"].casefold() in names]
        if hits:
            figures = [row.figures["score"] for row in hits]
            value = Estimate(
                p10=min(figure.value if figure.low is None else figure.low for figure in figures),
                p50=float(np.median([figure.value for figure in figures])),
                p90=max(figure.value if figure.high is None else figure.high for figure in figures),
            )
            settings = " and ".join(dict.fromkeys(row["setting"] for row in hits))
            note = f"{figures[0].source}, {figures[0].as_of}, measured as {settings}"
            return Score(value=value, unit=figures[0].unit, evidence="cited", note=note, passes=False)
    return None


_SERVING_SUFFIXES = ("-turbo", "-fp8", "-nvfp4", "-bf16")  # same weights under a provider's own name


@catalog.remembered
def _records() -> dict[str, ModelRecord]:
    """Return the catalogue's models under every name they have."""
    records = catalog.models().values()
    return {name.casefold(): record for record in records for name in (record.id, *record.aliases)}


def _spellings(key: str) -> tuple[str, ...]:
    """Return the names under which a quality table may hold an option: without provider, without serving suffix."""
    names = [key]
    if "/" in key:
        names.append(key.split("/", 1)[1])
    record = _records().get(names[-1].casefold())  # closed models are known to price and quality tables only
    if record is not None:
        names += [record.id, record.name, *record.aliases, *record.benchmark_names]
    for name in tuple(names):
        for suffix in _SERVING_SUFFIXES:
            if name.casefold().endswith(suffix):
                names.append(name[: -len(suffix)])
    return tuple(names)
