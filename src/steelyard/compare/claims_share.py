"""Claims about how much of compute, or of interactions, is inference; and how long a response takes."""

from __future__ import annotations

import numpy as np

from steelyard import catalog, inference
from steelyard.catalog import Row
from steelyard.compare.claim import (
    HOLDS_IF,
    NO_SOURCE,
    Claim,
    anchor,
    bounds,
    computed,
    published,
    verdict_of_cases,
)
from steelyard.economics.provenance import source_ids
from steelyard.units import format_quantity

_SHARE = "inference-share-"
_YEAR = "2026"
MOST_RATIO = 0.5  # share of APIs whose mean response must lie in the range


def compute_share() -> Claim:
    """Judge "60-70% of compute is inference by 2026" against every published share, and those for that year."""
    low, high = bounds("claim-compute-share")
    rows = {row["id"]: row for row in catalog.table("anchors").rows if row["id"].startswith(_SHARE)}
    for_year = {name: row for name, row in rows.items() if name.endswith(_YEAR) or str(row.as_of.year) == _YEAR}
    verdict, true = verdict_of_cases({name: low <= row.value("value") <= high for name, row in for_year.items()})
    values = [row.value("value") for row in rows.values()]
    now = [row.value("value") for row in for_year.values()]
    said = "; ".join(rows[name]["statement"] for name in true)
    return Claim(
        id="compute_share",
        text="60-70% of compute is inference by 2026",
        verdict=verdict,
        condition=f"counted as: {said}" if verdict == HOLDS_IF else "",
        sentence=(
            f"Of {len(for_year)} published shares for {_YEAR}, {len(true)} lie in the range "
            f"({min(now):.0%} to {max(now):.0%}); over all years and ways of counting they run from "
            f"{min(values):.0%} to {max(values):.0%}. A user's own share follows from their load: see "
            "`steelyard compare`."
        ),
        numbers=tuple(published(row["statement"], row.figures["value"]) for row in rows.values()),
        sources=source_ids(row.source for row in rows.values()),
    )


def enterprise_interactions() -> Claim:
    """Judge "95% of enterprise interactions are inference": does anything published state it?

    An anchor counts as a source when it is about the claim and not merely the claim as repeated.
    """
    claimed = next(row for row in catalog.table("anchors").rows if row["id"] == "claim-enterprise-interactions")
    near = [row for row in catalog.table("anchors").rows if row["id"].startswith("statement-")]
    stating = [row for row in near if _is_of_interactions(row)]
    cases = {row["id"]: _holds(row, claimed.value("value")) for row in stating}
    verdict, true = verdict_of_cases(cases) if cases else (NO_SOURCE, ())
    return Claim(
        id="enterprise_interactions",
        text="95% of enterprise interactions are inference",
        verdict=verdict,
        condition="; ".join(true) if verdict == HOLDS_IF else "",
        sentence=(
            f"{len(stating) or 'No'} published measurements of it are in the catalogue. If an interaction is a "
            "request, nearly all are inference by definition, which says nothing about cost; the nearest statements "
            "are about usage and expense."
        ),
        numbers=(
            published("the claim as repeated", claimed.figures["value"]),
            *(published(row["statement"], row.figures["value"]) for row in near),
        ),
        sources=source_ids(row.source for row in near),
    )


def response_time() -> Claim:
    """Judge "1-5 s per response": mean TTFT + tokens / speed of each measured API, for the requests of each preset."""
    low, high = bounds("claim-response-time")
    rows = [row for row in catalog.table("api_latency").rows if row.figure("output_rate") and row.figure("ttft_p50")]
    first = np.array([row.value("ttft_p50") for row in rows])[:, None]
    rate = np.array([row.value("output_rate") for row in rows])[:, None]
    numbers, cases, medians = [], {}, {}
    for name, workload in catalog.workloads().items():
        seconds = first + inference.lengths_from_workload(workload).osl_tokens / rate  # [A, S]
        mean = seconds.mean(axis=1)
        share = float(np.mean((mean >= low) & (mean <= high)))
        cases[name] = share >= MOST_RATIO
        medians[name] = float(np.median(mean))
        numbers += [
            computed(f"{name}: mean response, median over APIs", medians[name], "s", low=mean.min(), high=mean.max()),
            computed(f"{name}: share of APIs with a mean in the range", share, "ratio"),
        ]
    reasoning = anchor("e2e-reasoning")
    cases["reasoning models (published)"] = low <= reasoning.value <= high
    verdict, true = verdict_of_cases(cases)
    return Claim(
        id="response_time",
        text="1-5 s per response",
        verdict=verdict,
        condition=f"answers are as long as those of {', '.join(true)}" if verdict == HOLDS_IF else "",
        sentence=(
            f"Over {len(rows)} measured APIs, the mean response takes "
            + ", ".join(f"{format_quantity(value, 's')} ({name})" for name, value in medians.items())
            + f"; reasoning models are published at {format_quantity(reasoning.value, 's')}. The measured APIs are of "
            f"{min(row.as_of.year for row in rows)}."
        ),
        numbers=(*numbers, published("reasoning models, whole response", reasoning)),
        sources=source_ids([*(row.source for row in rows), reasoning.source]),
    )


def _is_of_interactions(row: Row) -> bool:
    return "interaction" in row["statement"].casefold()


def _holds(row: Row, value: float) -> bool:
    figure = row.figures["value"]
    low = figure.value if figure.low is None else figure.low
    high = figure.value if figure.high is None else figure.high
    return low <= value <= high
