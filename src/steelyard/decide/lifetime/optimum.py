"""The search: every size that reaches the loss, priced at every draw; the cheapest, and what stands beside it."""

from __future__ import annotations

import numpy as np

from steelyard import arch, training
from steelyard.decide.lifetime.explain import explained, reasons, sources, warnings
from steelyard.decide.lifetime.implied import implied_load
from steelyard.decide.lifetime.prices import Curve, Prices, prices
from steelyard.decide.lifetime.question import ModelQuestion
from steelyard.decide.lifetime.reach import Reach, reaches_of, within
from steelyard.decide.lifetime.result import (
    COMPUTE_OPTIMAL,
    FLAT_RATIO,
    LEAST_FLOP,
    LEAST_MONEY,
    STATED,
    Candidate,
    ModelPlan,
    Spread,
)
from steelyard.decide.lifetime.shapes import sizes
from steelyard.records.estimate import Estimate, estimate
from steelyard.units import Array


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
    reaches, served = reaches_of(question), question.served_tokens
    priced = prices(question, _sizes_to_price(question, reaches), question.drawn)
    reaches = {name: within(reach, priced) for name, reach in reaches.items()}
    main = reaches[training.DEFAULT_LAW]
    candidates = _candidates(question, priced, main) if served else ()
    return ModelPlan(
        question=question,
        law=main.law.id,
        loss_nats=main.loss_nats,
        candidates=candidates,
        spread=_spread(served, priced, reaches) if served else None,
        implied=implied_load(question, priced, reaches) if question.target.label else None,
        reasons=reasons(question, priced, candidates),
        tree=explained(question, priced, candidates, main.law),
        sources=sources(question, main.law),
        warnings=warnings(question, priced, candidates, main.params),
    )


def _sizes_to_price(question: ModelQuestion, reaches: dict[str, Reach]) -> tuple[arch.Model, ...]:
    least = min(float(reach.params[0]) for reach in reaches.values())
    most = max(float(reach.params[-1]) for reach in reaches.values())
    return sizes(question.shape, least, most)


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
