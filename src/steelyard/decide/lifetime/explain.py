"""Why the cheapest model is not the one with the least FLOP; the terms, sources and warnings behind the answer."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from steelyard import catalog, device, training
from steelyard.decide.lifetime.prices import Curve, Prices, fitted_tokens_per_param, most_tokens_per_param
from steelyard.decide.lifetime.question import ModelQuestion
from steelyard.decide.lifetime.result import LEAST_FLOP, LEAST_MONEY, Candidate
from steelyard.records.estimate import estimate
from steelyard.records.term import Term, explain
from steelyard.units import format_quantity

_STEP = 0.1  # of the logarithm of size, for slopes
_EDGE = 1.02  # sizes this close to an end are the end


@dataclass(frozen=True, kw_only=True)
class FlopPrices:
    """What sets the price of a FLOP served over that of a FLOP trained, at one size; their product is the ratio."""

    training_mfu_ratio: float  # 6 N D over the whole job, of the bf16 peak
    serving_mfu_ratio: float  # 2 N a token while busy, of the bf16 peak
    peak_to_mean_ratio: float  # paid for over used
    device_price_ratio: float  # price of a bf16 peak FLOP where it is served over where it is trained

    @property
    def serving_price_ratio(self) -> float:
        used = self.training_mfu_ratio / self.serving_mfu_ratio
        return used * self.peak_to_mean_ratio * self.device_price_ratio


def flop_prices(question: ModelQuestion, one: Candidate) -> FlopPrices:
    """Return what a FLOP costs on both sides, at the predicted size nearest to a candidate."""
    trained, served = one.training, one.serving
    on = [device.load(offer.device_id) for offer in (trained, served)]
    peaks = [device.peak_flop_per_s(each, "bf16") for each in on]
    rents = [question.rental(each).usd_per_device_s for each in on]
    return FlopPrices(
        training_mfu_ratio=training.TRAINING_FLOP * trained.params / (_mid(trained.device_s_per_token) * peaks[0]),
        serving_mfu_ratio=training.SERVING_FLOP * served.params / (_mid(served.device_s_per_token) * peaks[1]),
        peak_to_mean_ratio=question.peak_to_mean,
        device_price_ratio=(rents[1] / peaks[1]) / (rents[0] / peaks[0] * question.rd_multiplier),
    )


def reasons(question: ModelQuestion, priced: Prices, candidates: Sequence[Candidate]) -> tuple[str, ...]:
    """Say in words why money and FLOP disagree."""
    named = {one.name: one for one in candidates}
    if not named:
        return ()
    cheapest, least_flop = named[LEAST_MONEY], named[LEAST_FLOP]
    factors = flop_prices(question, cheapest)
    ratio = factors.serving_price_ratio
    c, loss = training.get_law(), training.loss_nats_per_token(question.target.params, question.target.tokens)
    repriced = float(training.lifetime_optimal(loss, question.served_tokens or 0.0, serving_price_ratio=ratio).params)
    slopes = _slopes(priced, cheapest.params)
    dtype = cheapest.serving.deployment.weight_dtype
    size = f"{format_quantity(cheapest.params, 'param')} against {format_quantity(least_flop.params, 'param')}"
    return (
        f"FLOP counts say that a FLOP served costs what a FLOP trained costs. Here it costs {ratio:.2g} times that: "
        f"a device that trains reaches {factors.training_mfu_ratio:.0%} of its bf16 peak over the whole job, one that "
        f"serves in {dtype} does work worth {factors.serving_mfu_ratio:.0%} of it while busy (its batch is limited by "
        f"{cheapest.serving.limited_by}); it is paid for {factors.peak_to_mean_ratio:.3g} times what it is used; and a "
        f"FLOP of its peak costs {factors.device_price_ratio:.2g} times one where it is trained.",
        f"That alone moves the optimum of law {c.id} from {format_quantity(least_flop.params, 'param')} to "
        f"{format_quantity(repriced, 'param')}.",
        f"Nor do prices go with the size: near {format_quantity(cheapest.params, 'param')} a served token costs as "
        f"N^{slopes[1]:.2f} and a trained one as N^{slopes[0]:.2f} (6N and 2N say N^1), so the cheapest is {size}.",
    )


def _slopes(priced: Prices, params: float) -> tuple[float, float]:
    """Return how the prices of a trained and of a served token rise with size, as powers, at the median."""
    ends = np.array([params * math.exp(-_STEP), params * math.exp(_STEP)])
    found = []
    for curve in (priced.training_usd_per_token(ends), priced.serving_usd_per_token(ends)):
        low, high = np.median(curve, axis=1)
        found.append(float(np.log(high / low) / (2 * _STEP)))
    return found[0], found[1]


def explained(question: ModelQuestion, priced: Prices, candidates: Sequence[Candidate], law: training.Law) -> Term:
    """Return how the cheapest model comes about, down to rents and efficiencies."""
    sized = tuple(_size_term(trained.params, trained.usd_per_token, "training", f"{trained.num_devices} "
                             f"{trained.device_id}") for trained in priced.training)  # fmt: skip
    sized += tuple(_size_term(one.params, one.usd_per_token, "serving", one.name) for one in priced.serving)
    used = {*(one.device_id for one in priced.training), *(one.device_id for one in priced.serving)}
    rents = tuple(explain(question.rental(device.load(name))) for name in sorted(used))
    told = Term(label=f"law {law.id}", value="", formula="L = E + A / N^alpha + B / D^beta", source=law.source)
    return Term(
        label="size of the cheapest model",
        value=next((one.params for one in candidates if one.name == LEAST_MONEY), "no load stated"),
        unit="param",
        formula="argmin over N of D(N) x price of a trained token(N) + T x price of a served token(N)",
        source="Sardana et al., arXiv 2401.00448, with predicted prices in place of 6N and 2N",
        children=(told, *sized, *rents),
    )


def _size_term(params: float, usd_per_token: Curve, what: str, where: str) -> Term:
    return Term(
        label=f"{what} {format_quantity(params, 'param')} on {where}",
        value=estimate(usd_per_token).p50,
        unit="usd_per_token",
    )


def sources(question: ModelQuestion, law: training.Law) -> tuple[str, ...]:
    """Return the ids of the catalogue sources behind laws, rents and lengths."""
    rents = [source for ref in question.devices for source in question.rental(device.load(ref)).sources]
    lengths = [figure.source for figure in question.lengths.figures.values()]
    named = [law.source, *(other.source for other in training.laws().values()), "sardana2024", *rents, *lengths]
    return tuple(sorted({name for text in named for name in text.split(" + ") if name in catalog.sources()}))


def warnings(
    question: ModelQuestion, priced: Prices, candidates: Sequence[Candidate], params: Curve
) -> tuple[str, ...]:
    """Return what a careful reader would want to be told."""
    found = [f"not priced: {why}" for why in priced.refused]
    best = next((one for one in candidates if one.name == LEAST_MONEY), None)
    target, fitted = question.target, fitted_tokens_per_param()
    longest = max(target.tokens / target.params, best.tokens_per_param if best else 0.0)
    if longest > fitted:
        found.append(
            f"{longest:,.0f} tokens per parameter: the laws were fitted below about {fitted:g} and overstate what so "
            "long a training brings"
        )
    if best and not params[0] * _EDGE < best.params < params[-1] / _EDGE:
        found.append(
            "the cheapest size is the last of those looked at (by price, or by "
            f"{most_tokens_per_param():,.0f} tokens per parameter): it may lie beyond"
        )
    if best and not best.training.in_time:
        found.append(
            f"training it takes {format_quantity(best.training.wall_s, 's')}, beyond the "
            f"{format_quantity(question.deadline_s, 's')} asked for"
        )
    return tuple(found)


def _mid(draws: Curve) -> float:
    return float(np.median(draws))
