"""The search: every size that reaches the loss, priced at every draw; the cheapest, and what stands beside it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from steelyard import arch, training
from steelyard.decide.lifetime.explain import explained, reasons, sources, warnings
from steelyard.decide.lifetime.prices import Curve, Prices, most_tokens_per_param, prices
from steelyard.decide.lifetime.question import ModelQuestion
from steelyard.decide.lifetime.result import (
    COMPUTE_OPTIMAL,
    FLAT_RATIO,
    LEAST_FLOP,
    LEAST_MONEY,
    STATED,
    Candidate,
    ImpliedLoad,
    ModelPlan,
    Spread,
)
from steelyard.decide.lifetime.shapes import sizes
from steelyard.errors import DoesNotFitError
from steelyard.records.estimate import Estimate, estimate
from steelyard.units import Array

_GRID = 400  # sizes looked at
_LOADS = np.logspace(8, 19, 441)  # lifetime tokens among which an implied load is looked for


@dataclass(frozen=True, kw_only=True)
class Reach:
    """The sizes [G] that reach the target's loss under one law, and the tokens each needs [G]."""

    law: training.Law
    loss_nats: float
    params: Curve
    tokens: Curve


def plan_model(question: ModelQuestion) -> ModelPlan:
    """Return the model that reaches the target's loss for the least money over its life, and what stands beside it.

    Minimises D(N) p_train(N) + T p_serve(N) over N, where D(N) are the tokens to the loss under a published law, and
    both prices come from predicted step times, failures, serving capacity and rental prices at that size.

    Args:
        question: Target, lifetime tokens, devices, formats, objective, prices.

    Raises:
        InputError: Something out of its range.
        UnknownError: A device, a price, a model that is not known.
        DoesNotFitError: No size can be trained, or served, on what was asked for.

    Assumes:
        Loss is quality: two models of one loss are taken as equally good, whatever their size and format.

    Source:
        Hoffmann et al., arXiv 2203.15556 (the law); Sardana et al., arXiv 2401.00448 (serving in it).

    Example:
        >>> from steelyard.decide.lifetime import ModelQuestion, Target
        >>> asked = ModelQuestion(target=Target(params=70e9, tokens=1.4e12), served_tokens=1e13, devices=("h100",))
        >>> found = {one.name: one for one in plan_model(asked).candidates}
        >>> f"{found['least FLOP, serving included (Sardana)'].tokens_per_param:.0f} tokens per parameter"
        '109 tokens per parameter'
    """
    reaches, served = _reaches(question), question.served_tokens
    priced = prices(question, _sizes_to_price(question, reaches), question.drawn)
    reaches = {name: _within(reach, priced) for name, reach in reaches.items()}
    main = reaches[training.DEFAULT_LAW]
    candidates = _candidates(question, priced, main) if served else ()
    return ModelPlan(
        question=question,
        law=main.law.id,
        loss_nats=main.loss_nats,
        candidates=candidates,
        spread=_spread(served, priced, reaches) if served else None,
        implied=_implied(question, priced, reaches) if question.target.label else None,
        reasons=reasons(question, priced, candidates),
        tree=explained(question, priced, candidates, main.law),
        sources=sources(question, main.law),
        warnings=warnings(question, priced, candidates, main.params),
    )


def _reaches(question: ModelQuestion) -> dict[str, Reach]:
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


def _sizes_to_price(question: ModelQuestion, reaches: dict[str, Reach]) -> tuple[arch.Model, ...]:
    least = min(float(reach.params[0]) for reach in reaches.values())
    most = max(float(reach.params[-1]) for reach in reaches.values())
    return sizes(question.shape, least, most)


def _within(reach: Reach, priced: Prices) -> Reach:
    """Return the sizes of a law that have prices, evenly spread."""
    least, most = max(reach.params[0], priced.least_params), min(reach.params[-1], priced.most_params)
    params = np.geomspace(least, most, _GRID)
    tokens = np.interp(np.log(params), np.log(reach.params), np.log(reach.tokens))
    return Reach(law=reach.law, loss_nats=reach.loss_nats, params=params, tokens=np.exp(tokens))


def _total_usd(priced: Prices, params: Array, tokens: Array, served_tokens: float) -> Curve:
    """Return what models [G] cost over their life [G, D]."""
    trained = np.reshape(tokens, (-1, 1)) * priced.training_usd_per_token(params)
    return trained + served_tokens * priced.serving_usd_per_token(params)


def _spread(served_tokens: float, priced: Prices, reaches: dict[str, Reach]) -> Spread:
    totals = {name: _total_usd(priced, reach.params, reach.tokens, served_tokens) for name, reach in reaches.items()}
    main, total = reaches[training.DEFAULT_LAW], totals[training.DEFAULT_LAW]
    middle = np.median(total, axis=1)
    near = main.params[middle <= (1.0 + FLAT_RATIO) * middle.min()]
    flop = {
        name: float(training.lifetime_optimal(reach.loss_nats, served_tokens, law=reach.law).params)
        for name, reach in reaches.items()
    }
    return Spread(
        over_draws=estimate(main.params[np.argmin(total, axis=0)]),
        over_laws=_extremes({name: _cheapest(reaches[name], totals[name]) for name in reaches}),
        least_flop_over_laws=_extremes(flop),
        flat_params=(float(near[0]), float(near[-1])),
    )


def _cheapest(reach: Reach, total_usd: Curve) -> float:
    return float(reach.params[np.argmin(np.median(total_usd, axis=1))])


def _extremes(by_law: dict[str, float]) -> Estimate:
    """Return the default law's value between the least and the largest: the laws are few, these are no percentiles."""
    return Estimate(p10=min(by_law.values()), p50=by_law[training.DEFAULT_LAW], p90=max(by_law.values()))


def _candidates(question: ModelQuestion, priced: Prices, main: Reach) -> tuple[Candidate, ...]:
    """Return the models to be compared; the first is the baseline of what is saved."""
    target, served = question.target, question.served_tokens or 0.0
    cheapest = _cheapest(main, _total_usd(priced, main.params, main.tokens, served))
    named = {STATED: target.params} if target.label else {}
    named |= {
        COMPUTE_OPTIMAL: float(training.lifetime_optimal(main.loss_nats, law=main.law).params),
        LEAST_FLOP: float(training.lifetime_optimal(main.loss_nats, served, law=main.law).params),
        LEAST_MONEY: cheapest,
    }
    params = np.array(list(named.values()))
    tokens = np.asarray(
        training.tokens_for_loss(main.loss_nats, params, law=main.law, unique_tokens=question.unique), np.float64
    )
    trained = tokens[:, None] * priced.training_usd_per_token(params)
    answered = served * priced.serving_usd_per_token(params)
    flop = training.TRAINING_FLOP * params * tokens + training.SERVING_FLOP * params * served
    return tuple(
        Candidate(
            name=name,
            params=float(params[i]),
            tokens=float(tokens[i]),
            training_flop=float(training.TRAINING_FLOP * params[i] * tokens[i]),
            serving_flop=float(training.SERVING_FLOP * params[i] * served),
            training_usd=estimate(trained[i]),
            serving_usd=estimate(answered[i]),
            total_usd=estimate(trained[i] + answered[i]),
            saved_flop_ratio=float(1.0 - flop[i] / flop[0]),
            saved_usd=estimate(trained[0] + answered[0] - trained[i] - answered[i]),
            saved_usd_ratio=float(1.0 - np.median((trained[i] + answered[i]) / (trained[0] + answered[0]))),
            training=priced.nearest_training(params[i]),
            serving=priced.nearest_serving(params[i]),
        )
        for i, name in enumerate(named)
    )


def _implied(question: ModelQuestion, priced: Prices, reaches: dict[str, Reach]) -> ImpliedLoad:
    target = question.target
    by_flop, by_money = {}, {}
    for name, reach in reaches.items():
        c = reach.law
        gain = c.alpha * c.A * target.params**-c.alpha / (c.beta * c.B * target.tokens**-c.beta)
        by_flop[name] = max(3.0 * target.tokens * (gain - 1.0), 0.0)  # where the condition of least FLOP holds
        by_money[name] = _load_of(reach, priced, target.params)
    return ImpliedLoad(least_flop_tokens=_extremes(by_flop), least_money_tokens=_extremes(by_money))


def _load_of(reach: Reach, priced: Prices, params: float) -> float:
    """Return the lifetime tokens at which the cheapest size is `params`, at median prices."""
    trained = reach.tokens * np.median(priced.training_usd_per_token(reach.params), axis=1)
    answered = np.median(priced.serving_usd_per_token(reach.params), axis=1)
    best = reach.params[np.argmin(trained[:, None] + answered[:, None] * _LOADS, axis=0)]  # falls with the load
    if params >= best[0]:
        return 0.0
    if params <= best[-1]:
        return float("inf")
    order: npt.NDArray[np.float64] = np.log(best[::-1])
    return float(np.exp(np.interp(np.log(params), order, np.log(_LOADS[::-1]))))
