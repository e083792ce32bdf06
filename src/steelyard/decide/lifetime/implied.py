"""The loads that a size implies: the lifetime tokens at which it is itself the best, in FLOP and in money."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from scipy.optimize import minimize_scalar

from steelyard import training
from steelyard.decide.lifetime.prices import Curve, Prices
from steelyard.decide.lifetime.question import ModelQuestion
from steelyard.decide.lifetime.reach import Reach
from steelyard.decide.lifetime.result import ImpliedLoad
from steelyard.records.estimate import Estimate

Interval = tuple[float, float]


def implied_load(question: ModelQuestion, priced: Prices, reaches: Mapping[str, Reach]) -> ImpliedLoad:
    """Return the loads at which the target's own size is the best, over all laws."""
    target = question.target
    by_flop, by_money = {}, {}
    for name, reach in reaches.items():
        law, params = reach.law, reach.params
        gain = law.alpha * law.A * target.params**-law.alpha / (law.beta * law.B * target.tokens**-law.beta)
        by_flop[name] = (max(3.0 * target.tokens * (gain - 1.0), 0.0),) * 2  # where the condition of least FLOP holds
        if not params[0] <= target.params <= params[-1]:
            by_money[name] = (math.inf,) * 2 if target.params < params[0] else (0.0, 0.0)
            continue
        every = np.append(params, target.params)
        tokens = training.tokens_for_loss(reach.loss_nats, every, law=law, unique_tokens=question.unique)
        trained = tokens * np.median(priced.training_usd_per_token(every), axis=1)
        by_money[name] = cheapest_loads(trained, np.median(priced.serving_usd_per_token(every), axis=1), len(params))
    return ImpliedLoad(least_flop_tokens=_over_laws(by_flop), least_money_tokens=_over_laws(by_money))


def cheapest_loads(trained_usd: Curve, served_usd_per_token: Curve, size: int) -> Interval:
    """Return the least and the largest lifetime tokens at which one of several sizes is the cheapest.

    A size that no load makes the cheapest has the load at which it costs least more than the cheapest; one that is too
    large even without serving has none (0). Where nothing is served for less, the largest is infinite.

    Args:
        trained_usd: Cost of training each size [G].
        served_usd_per_token: Cost of a served token of each size [G].
        size: The place of the one asked about.

    Example:
        >>> cheapest_loads(np.array([10.0, 6.0, 5.0]), np.array([1.0, 2.0, 4.0]), 1)
        (0.5, 4.0)
    """
    less_to_serve = served_usd_per_token[size] - served_usd_per_token  # of each other one
    more_to_train = trained_usd - np.min(
        trained_usd[less_to_serve == 0]
    )  # as served, what differs is alike at all loads
    dearer, cheaper = less_to_serve < 0, less_to_serve > 0  # to serve
    least = float(np.max(more_to_train[dearer] / less_to_serve[dearer], initial=0.0))
    most = max(0.0, float(np.min(more_to_train[cheaper] / less_to_serve[cheaper], initial=math.inf)))
    if least > most:
        nearest = minimize_scalar(
            lambda tokens: np.max(tokens * less_to_serve - more_to_train), bounds=(most, least), method="bounded"
        )
        return float(nearest.x), float(nearest.x)
    return least, most


def _over_laws(by_law: Mapping[str, Interval]) -> Estimate:
    """Return the middle of the default law's loads between the ends over all: the laws are few, no percentiles."""
    return Estimate(
        p10=min(least for least, _ in by_law.values()),
        p50=_middle(*by_law[training.DEFAULT_LAW]),
        p90=max(most for _, most in by_law.values()),
    )


def _middle(least: float, most: float) -> float:
    if most == math.inf:
        return least
    return math.sqrt(least * most) if least > 0.0 else most / 2.0
