"""How much of what a user spends, draws and computes is inference, how much training, over the horizon of a route."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np

from steelyard.compare.draws import Draw
from steelyard.compare.factors.enterprise_relevance import inference_share, published_shares
from steelyard.compare.routes.outcome import Outcome
from steelyard.records.estimate import Estimate, estimate


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedShare:
    """What somebody printed about inference and training, to stand beside a user's own figure."""

    statement: str
    share_ratio: float
    as_of: date
    source: str

    def to_dict(self) -> dict[str, Any]:
        return {
            "statement": self.statement,
            "share_ratio": self.share_ratio,
            "as_of": self.as_of.isoformat(),
            "source": self.source,
        }


@dataclass(frozen=True, kw_only=True)
class Relevance:
    """The share of inference in one route over the horizon; None where the route takes nothing of the kind."""

    route: str
    spend_ratio: Estimate | None  # devices, power and tokens that answer, over them and what training costs
    energy_ratio: Estimate | None
    flop_ratio: Estimate | None
    by_month_ratio: tuple[float, ...]  # of the spend up to the end of each month, median
    published: tuple[PublishedShare, ...]

    @property
    def passes_in_month(self) -> int | None:
        """The month, from 1, in which the spend on answers passes that on training; None if never, or nothing is."""
        later = [month for month, share in enumerate(self.by_month_ratio, 1) if share >= 0.5]
        trained = any(share < 1.0 for share in self.by_month_ratio)
        return later[0] if later and trained else None

    @property
    def sentence(self) -> str:
        """Say the shares, and when answers pass training."""
        if self.spend_ratio is None:
            return f"{self.route}: nothing is spent."
        told = f"Of what {self.route} spends, people who run it apart, {self.spend_ratio.p50:.0%} answers"
        for name, share in (("of its energy", self.energy_ratio), ("of its FLOP", self.flop_ratio)):
            told += "" if share is None else f", {name} {share.p50:.0%}"
        month = self.passes_in_month
        return told + ("." if month is None else f"; from month {month} on more is spent on answers than on training.")

    @property
    def inference(self) -> tuple[PublishedShare, ...]:
        """The published figures that are of inference."""
        return tuple(one for one in self.published if one.statement.startswith("inference"))

    def to_dict(self) -> dict[str, Any]:
        def plain(value: Estimate | None) -> dict[str, float] | None:
            return None if value is None else value.to_dict()

        return {
            "route": self.route,
            "spend_ratio": plain(self.spend_ratio),
            "energy_ratio": plain(self.energy_ratio),
            "flop_ratio": plain(self.flop_ratio),
            "by_month_ratio": list(self.by_month_ratio),
            "passes_in_month": self.passes_in_month,
            "published": [one.to_dict() for one in self.published],
        }


def in_words(found: Sequence[Relevance]) -> tuple[str, ...]:
    """Return the sentence of each route, then what was published on inference, each with its date."""
    published = found[0].inference if found else ()
    beside = (f"{one.statement}: {one.share_ratio:.0%} ({one.as_of:%Y-%m}, {one.source})" for one in published)
    told = [one.sentence for one in found]
    return (*told, f"Published, by who counts what: {'; '.join(beside)}.") if published else tuple(told)


def relevance(outcome: Outcome) -> Relevance:
    """Return the share of inference in what a route takes, over the horizon and by month.

    share = answering / (answering + training), in USD (devices, power and tokens against runs, their data and people
    before the first answer, and refreshes), in joules at the meter, and in model FLOP. What a provider spent on
    training the model behind its API is in no bill of the user's, and not in here.

    Example:
        >>> from steelyard.compare.case import build_case
        >>> from steelyard.compare.routes import EVALUATE
        >>> from steelyard.compare.scenario_file import load_scenario
        >>> case = build_case(load_scenario())
        >>> [api, *_], [tuned, *_] = (EVALUATE[route](case) for route in ("api", "finetune"))
        >>> relevance(api).spend_ratio.p50, 0 < relevance(tuned).spend_ratio.p50 < 1
        (1.0, True)
    """
    training, serving_j = outcome.training, outcome.serving_energy_j.sum(axis=1, keepdims=True)
    serving_flop = outcome.serving_flop.sum(axis=1, keepdims=True)
    return Relevance(
        route=outcome.route,
        spend_ratio=_share(outcome.serving_usd, training.usd + training.refresh_usd),
        energy_ratio=_share(serving_j, training.energy_j),
        flop_ratio=_share(serving_flop, training.flop),
        by_month_ratio=_by_month(outcome),
        published=tuple(
            PublishedShare(
                statement=row["statement"], share_ratio=row.value("value"), as_of=row.as_of, source=row.source
            )
            for row in published_shares()
        ),
    )


def _share(inference: Draw, training: Draw) -> Estimate | None:
    share = inference_share(inference, training)
    return None if np.isnan(share).any() else estimate(share)


def _by_month(outcome: Outcome) -> tuple[float, ...]:
    """Return the share of the spend up to the end of each month; refreshes are spread evenly, people are in neither."""
    months = outcome.monthly_usd.shape[1]
    passed = np.arange(1, months + 1) / months
    refreshed = outcome.training.refresh_usd * passed
    answered = (outcome.monthly_usd - outcome.people_usd).cumsum(axis=1) - refreshed
    share = np.median(inference_share(np.maximum(answered, 0.0), outcome.training.usd + refreshed), axis=0)
    return tuple(float(one) for one in share if not np.isnan(one))
