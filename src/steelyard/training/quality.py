"""What a model of a size, trained on so many tokens, is expected to reach: published laws of loss, and what is best."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass

import numpy as np

from steelyard import catalog
from steelyard.errors import InputError
from steelyard.records.term import term
from steelyard.training.laws import DEFAULT_LAW, Law, get_law
from steelyard.units import Array

TRAINING_FLOP = 6.0  # per parameter and token: forward 2, backward 4
SERVING_FLOP = 2.0
_CHINCHILLA = 'Hoffmann et al., "Training Compute-Optimal Large Language Models", arXiv 2203.15556'
_SARDANA = 'Sardana et al., "Beyond Chinchilla-Optimal", arXiv 2401.00448'
_MUENNIGHOFF = 'Muennighoff et al., "Scaling Data-Constrained Language Models", arXiv 2305.16264'
_HALVINGS = 80  # of a logarithmic interval: below the resolution of a float


@dataclass(frozen=True, slots=True, kw_only=True)
class Optimum:
    """The size and tokens that are best for a budget or a loss; arrays broadcast."""

    params: Array = term("parameters", "param", "of the condition solved", _CHINCHILLA)
    tokens: Array = term("training tokens", "token", "the budget or the loss, given params", _CHINCHILLA)
    loss_nats_per_token: Array = term("loss", "nat_per_token", "E + A / params^alpha + B / tokens^beta", _CHINCHILLA)
    tokens_per_param: Array = term("tokens per parameter", "token_per_param", "tokens / params")
    training_flop: Array = term("training FLOP", "flop", "6 * params * tokens")
    serving_flop: Array = term("lifetime serving FLOP", "flop", "2 * params * served tokens")


def loss_nats_per_token(params: Array, tokens: Array, *, law: str | Law = DEFAULT_LAW) -> Array:
    """Return the expected pretraining loss [nat/token].

    L = E + A / N^alpha + B / D^beta

    Args:
        params: N, total parameters of a dense model, above 0.
        tokens: D, training tokens seen once; for repeated data pass `effective_tokens`.
        law: Id in the catalogue, or a `Law`.

    Raises:
        InputError: Parameters or tokens not above 0.
        UnknownError: No such law.

    Assumes:
        A dense transformer, trained on web text with a tuned schedule, within about 350 tokens per parameter.

    Source:
        Hoffmann et al., arXiv 2203.15556; default constants: Besiroglu et al., arXiv 2404.10102.

    Example:
        >>> f"{loss_nats_per_token(70e9, 1.4e12):.3f}"
        '1.974'
    """
    if np.any(np.asarray(params) <= 0) or np.any(np.asarray(tokens) <= 0):
        raise InputError("parameters and tokens must be above 0 for a loss")
    c = get_law(law)
    loss: Array = c.E + c.A * np.power(params, -c.alpha) + c.B * np.power(tokens, -c.beta)
    return loss


def effective_tokens(tokens: Array, unique_tokens: Array) -> Array:
    """Return the unique tokens worth as much as `tokens` drawn repeatedly from `unique_tokens` [token].

    D_eff = U + U R* (1 - exp(-R / R*)), R = D / U - 1 repeats

    Args:
        tokens: D, tokens trained on; below U nothing is repeated.
        unique_tokens: U, distinct tokens at hand.

    Source:
        Muennighoff et al., arXiv 2305.16264 (R* from the catalogue).

    Example:
        Four epochs are worth nearly four times the data, forty are not:

        >>> [f"{effective_tokens(epochs * 1e11, 1e11) / 1e11:.1f}" for epochs in (1, 4, 40)]
        ['1.0', '3.7', '15.2']
    """
    worth = _repetition()
    unique = np.asarray(unique_tokens, np.float64)
    repeats = np.maximum(np.asarray(tokens) / unique - 1.0, 0.0)
    seen: Array = np.minimum(tokens, unique) + unique * worth * -np.expm1(-repeats / worth)
    return seen


@functools.cache
def _repetition() -> float:
    """Return R*, the repeats after which most of the worth of repeated data is gone."""
    stated = [row for row in catalog.table("scaling_laws").rows if "repetition_data" in row.figures]
    return stated[0].value("repetition_data")


def compute_optimal(flop: Array, law: str | Law = DEFAULT_LAW) -> Optimum:
    """Return the size and tokens with the least loss for a training budget.

    N = G (C/6)^(beta/(alpha+beta)), D = C / (6 N)

    Args:
        flop: C, training FLOP, above 0.
        law: Id in the catalogue, or a `Law`.

    Raises:
        InputError: A budget not above 0.

    Source:
        Hoffmann et al., arXiv 2203.15556, section 3.3.

    Example:
        >>> best = compute_optimal(5.76e23)
        >>> f"{best.params:.2g}, {best.tokens:.3g}"
        '7.2e+10, 1.33e+12'
    """
    if np.any(np.asarray(flop) <= 0):
        raise InputError("the training budget must be above 0 FLOP")
    c = get_law(law)
    params = c.G * np.power(np.asarray(flop) / TRAINING_FLOP, c.beta / (c.alpha + c.beta))
    return _optimum(params, flop / (TRAINING_FLOP * params), 0.0, c)


def tokens_for_loss(
    loss: Array, params: Array, *, law: str | Law = DEFAULT_LAW, unique_tokens: Array = math.inf
) -> Array:
    """Return the tokens that bring a model of this size to a loss [token]; infinity where no number of tokens does.

    D = (B / (L - E - A N^-alpha))^(1 / beta); with U distinct tokens, their repeats by the inverse of
    `effective_tokens`: D = U (1 - R* ln(1 - (D / U - 1) / R*)).

    Args:
        loss: Target [nat/token].
        params: N, above 0.
        law: Id in the catalogue, or a `Law`.
        unique_tokens: U, distinct tokens at hand; unlimited unless stated.

    Example:
        >>> loss = loss_nats_per_token(8e9, 2e12)
        >>> [f"{tokens_for_loss(loss, 8e9, unique_tokens=unique):.3g}" for unique in (math.inf, 5e11, 1e11)]
        ['2e+12', '2.17e+12', 'inf']
    """
    c = get_law(law)
    left = np.asarray(loss, np.float64) - c.E - c.A * np.power(params, -c.alpha)
    reachable = left > 0
    tokens: Array = np.where(reachable, np.power(c.B / np.where(reachable, left, 1.0), 1.0 / c.beta), np.inf)
    return _with_repeats(tokens, np.asarray(unique_tokens, np.float64))


def _with_repeats(tokens: Array, unique: Array) -> Array:
    """Return the tokens to draw from `unique` distinct ones that are worth `tokens` distinct ones."""
    worth = _repetition()
    repeated = np.isfinite(unique) & (tokens > unique)
    wanted = np.where(repeated, tokens, 0.0) / np.where(repeated, unique, 1.0) - 1.0  # repeats, if none lost worth
    lost = np.clip(wanted / worth, 0.0, 1.0)
    with np.errstate(divide="ignore"):
        repeats = -worth * np.log1p(-lost)
    total: Array = np.where(repeated, unique * (1.0 + repeats), tokens)
    return total


def lifetime_optimal(
    loss: Array, served_tokens: Array = 0.0, *, law: str | Law = DEFAULT_LAW, serving_price_ratio: Array = 1.0
) -> Optimum:
    """Return the size and tokens that reach a loss with the least training and serving together.

    Minimises 6 N D + p 2 N T with L(N, D) = loss, where
    alpha A N^-alpha / (beta B D^-beta) = 1 + p T / (3 D); solved by bisection in log N, all elements at once.

    Args:
        loss: Target [nat/token], above the law's floor E.
        served_tokens: T, input and output tokens over the model's life; 0 gives the compute-optimal model of that loss.
        law: Id in the catalogue, or a `Law`.
        serving_price_ratio: p, price of a FLOP served over a FLOP trained (their MFU differ); 1 counts FLOP.

    Raises:
        InputError: A loss at or below the floor of the law.

    Assumes:
        The law holds at the tokens per parameter found; fits from usual ratios overstate very long training.

    Source:
        Sardana et al., arXiv 2401.00448.

    Example:
        >>> chinchilla = loss_nats_per_token(70e9, 1.4e12)
        >>> [f"{lifetime_optimal(chinchilla, served).params / 1e9:.0f}B" for served in (1e12, 1e13, 1e14)]
        ['58B', '34B', '21B']
    """
    c = get_law(law)
    loss, served, price = np.broadcast_arrays(
        np.asarray(loss, np.float64), np.asarray(served_tokens, np.float64), np.asarray(serving_price_ratio)
    )
    if np.any(loss <= c.E):
        raise InputError(f"a loss of {loss.min():.4g} nat/token is at or below the floor {c.E:.4g} of law {c.id}")
    low = np.log(c.A / (loss - c.E)) / c.alpha + 1e-9  # below it no number of tokens reaches the loss
    high = low + math.log(1e15)
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        params = np.exp(middle)
        tokens = tokens_for_loss(loss, params, law=c)
        gain = c.alpha * c.A * params**-c.alpha / (c.beta * c.B * tokens**-c.beta)
        larger = gain > 1.0 + price * served / (3.0 * tokens)
        low, high = np.where(larger, middle, low), np.where(larger, high, middle)
    params = np.exp((low + high) / 2)
    return _optimum(params, tokens_for_loss(loss, params, law=c), served, c)


def perplexity(loss: Array) -> Array:
    """Return exp(loss): comparable only between models of one tokenizer."""
    return np.exp(loss)


def bits_per_byte(loss: Array, bytes_per_token: Array) -> Array:
    """Return loss / ln 2 / bytes per token [bit/byte]: comparable across tokenizers on one text."""
    return loss / math.log(2.0) / bytes_per_token


def _optimum(params: Array, tokens: Array, served: Array, law: Law) -> Optimum:
    return Optimum(
        params=params,
        tokens=tokens,
        loss_nats_per_token=loss_nats_per_token(params, tokens, law=law),
        tokens_per_param=tokens / params,
        training_flop=TRAINING_FLOP * params * tokens,
        serving_flop=SERVING_FLOP * params * served,
    )
