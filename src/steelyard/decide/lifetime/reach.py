"""The sizes that reach the target's loss under each published law, and the tokens that each of them needs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from steelyard import training
from steelyard.decide.lifetime.prices import Curve, Prices, most_tokens_per_param
from steelyard.decide.lifetime.question import ModelQuestion
from steelyard.errors import DoesNotFitError

_GRID = 400  # sizes looked at


@dataclass(frozen=True, kw_only=True)
class Reach:
    """The sizes [G] that reach the target's loss under one law, and the tokens each needs [G]."""

    law: training.Law
    loss_nats: float
    params: Curve
    tokens: Curve


def reaches_of(question: ModelQuestion) -> dict[str, Reach]:
    """Return, for each law, the sizes up to twice the largest of interest that reach the loss on a finite text."""
    target, found = question.target, {}
    for name, law in training.laws().items():
        loss = float(training.loss_nats_per_token(target.params, target.tokens, law=law))
        optimal = float(training.lifetime_optimal(loss, law=law).params)
        params = np.geomspace(1e6, 2.0 * max(optimal, target.params), 4000)
        tokens = np.asarray(training.tokens_for_loss(loss, params, law=law, unique_tokens=question.unique))
        able = tokens <= most_tokens_per_param() * params
        if not able.any():
            raise DoesNotFitError(
                f"no size reaches the loss on {question.unique:.3g} distinct tokens; state more, or a higher loss"
            )
        found[name] = Reach(law=law, loss_nats=loss, params=params[able], tokens=tokens[able])
    return found


def within(reach: Reach, priced: Prices) -> Reach:
    """Return the sizes of a law that have prices, evenly spread."""
    least, most = max(reach.params[0], priced.least_params), min(reach.params[-1], priced.most_params)
    params = np.geomspace(least, most, _GRID)
    tokens = np.interp(np.log(params), np.log(reach.params), np.log(reach.tokens))
    return Reach(law=reach.law, loss_nats=reach.loss_nats, params=params, tokens=np.exp(tokens))
