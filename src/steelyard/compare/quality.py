"""Quality on one scale that the user chose: a dated benchmark of the catalogue, or their own evaluation.

An option without a score is `unknown`; unknown cannot pass a floor. The loss of a model yet to be trained becomes a
score only by a map that the user measured. A score is never carried over from a base model to its tuned version, nor
from one benchmark, or version of one, to another.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from steelyard import arch, catalog, training
from steelyard.compare.quality_map import load_loss_map
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
    found = _mapped(scenario) if "pretrain" in keys else _published(scenario.quality.scale, keys)
    if found is not None:
        passes = floor is None or (found.value is not None and found.value.p50 >= floor)
        return replace(found, passes=passes)
    note = f"no score on {scenario.quality.scale}: evaluate it there to settle this"
    return Score(value=None, unit="point", evidence="assumed", note=note, passes=floor is None)


def _mapped(scenario: Scenario) -> Score | None:
    """Return the score of the model to be pretrained, where its predicted loss lies on the user's map."""
    route, stated = scenario.routes.pretrain, scenario.quality.loss_map
    if route is None or stated is None:
        return None
    known = load_loss_map(scenario.base_dir / stated.points, stated.law)
    path = scenario.base_dir / route.model
    params = arch.count_params(arch.load(path if path.exists() else route.model)).active_params
    loss = float(training.loss_nats_per_token(params, route.tokens, law=known.law))
    value = known.score(loss)
    where = f"{len(known.losses)} points in {known.name}, {known.losses[0]:.3f} to {known.losses[-1]:.3f}"
    on_map = "read off" if value else "outside"
    note = f"loss {loss:.3f} nat/token by law {known.law}, {on_map} the map of {where}"
    return Score(value=value, unit="point", evidence="predicted" if value else "assumed", note=note, passes=False)


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
