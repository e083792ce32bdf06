"""Request lengths as equally likely samples: from a preset, from stated figures, or from a trace.

Everything downstream takes the same `Lengths` record and never asks where it came from.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import pairwise
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

from steelyard import catalog
from steelyard.errors import InputError
from steelyard.inference.joint_shares import answer_shares
from steelyard.records.joint_shares import JointShares
from steelyard.records.workload import Lengths, Workload

Samples = npt.NDArray[np.float64]

MAX_TOKENS = 1e8  # of one request; ten times the longest context sold
_NORMAL = NormalDist()
_GOLDEN = (math.sqrt(5.0) - 1.0) / 2.0  # the most evenly spread step of a one-dimensional sequence
_STATED = "mean, fixed, min, max, or a percentile such as p50, p90, p99"


def lengths_from_workload(workload: Workload, *, num_samples: int = 512) -> Lengths:
    """Return request lengths of a preset [tokens].

    Each sample is the inverse of the preset's cumulative distribution at an evenly spread share of requests. Between
    two stated quantiles the logarithm of the length follows the normal score of the share, bent by one exponent so
    that the mean is the stated one. Prompt and answer are paired by the preset's table of joint shares; where it has
    none, by a Gaussian copula of its rank correlation. How they are paired changes neither's distribution.

    Args:
        workload: Its quantiles, means, and joint shares or Spearman rank correlation.
        num_samples: Samples S; the same ones every time.

    Returns:
        `Lengths` with arrays [S].

    Source:
        Nelsen, "An Introduction to Copulas", 2nd ed., 2006 (rank correlation of a Gaussian copula).

    Example:
        >>> from steelyard import catalog
        >>> chat = lengths_from_workload(catalog.workload("chat"))
        >>> bool(abs(chat.mean_isl_tokens / 1155 - 1) < 0.02)
        True
    """
    pairing = workload.length_rank_correlation_ratio if workload.joint_shares is None else workload.joint_shares
    ranks = _answer_ranks(num_samples, pairing)
    osl = _sample(workload.osl_quantile_tokens, workload.osl_mean_tokens, num_samples)
    return Lengths(
        isl_tokens=_sample(workload.isl_quantile_tokens, workload.isl_mean_tokens, num_samples),
        osl_tokens=osl[ranks],
        cached_input_ratio=workload.prefix_hit_ratio,
        label=workload.name,
        figures=workload.figures,
    )


def lengths_from_stated(
    isl: Mapping[str, float],
    osl: Mapping[str, float],
    *,
    rank_correlation: float = 0.0,
    joint_shares: JointShares | None = None,
    cached_input_ratio: float = 0.0,
    num_samples: int = 512,
) -> Lengths:
    """Return request lengths from what a user states of them [tokens].

    Percentiles are interpolated as for a preset. A mean or a median alone says nothing of the spread: a log-normal
    distribution with the spread usual in public traces is assumed, and the label says so.

    Args:
        isl: Prompt tokens: `{"mean": 1155, "p50": 1020, "p90": 2735}`, or `{"fixed": 1024}` for one length.
        osl: Generated tokens, in the same form.
        rank_correlation: Spearman's, between the two, -1 to 1.
        joint_shares: Which lengths go together, in more than a correlation; in its place.
        cached_input_ratio: Share of prompt tokens served from a prefix cache.
        num_samples: Samples S.

    Raises:
        InputError: An unknown key, a value that is not a positive finite number, falling percentiles, or a mean
            outside of what the percentiles allow, or a rank correlation beside joint shares.

    Example:
        >>> asked = lengths_from_stated({"mean": 1000}, {"p50": 100, "p90": 400})
        >>> round(asked.mean_isl_tokens), "assumed" in asked.label
        (1000, True)
    """
    for name, value, low in (
        ("rank_correlation", rank_correlation, -1.0),
        ("cached_input_ratio", cached_input_ratio, 0.0),
    ):
        if not low <= value <= 1.0:
            raise InputError(f"{name}: {value!r} is not between {low:g} and 1")
    if joint_shares is not None and rank_correlation:
        raise InputError("rank_correlation: joint shares are stated, which say more; leave it out")
    ranks = _answer_ranks(num_samples, rank_correlation if joint_shares is None else joint_shares)
    isl_tokens, isl_label = _sample_stated("isl", isl, num_samples)
    osl_tokens, osl_label = _sample_stated("osl", osl, num_samples)
    return Lengths(
        isl_tokens=isl_tokens,
        osl_tokens=osl_tokens[ranks],
        cached_input_ratio=cached_input_ratio,
        label=f"stated: prompt {isl_label}; answer {osl_label}",
        figures={"length_log_sd_ratio": catalog.calibration("inference")["length_log_sd_ratio"]},
    )


def _answer_ranks(num_samples: int, pairing: float | JointShares) -> npt.NDArray[np.intp]:
    """Return the rank of each request's answer, the requests in the order of their prompts.

    Args:
        num_samples: Requests.
        pairing: The table of joint shares, or Spearman's rank correlation for a Gaussian copula.
    """
    if not 2 <= num_samples <= 1_000_000:
        raise InputError(f"num_samples: {num_samples} is not between 2 and 1,000,000")
    share = _even(num_samples)
    other = np.asarray(np.arange(1, num_samples + 1) * _GOLDEN % 1.0, dtype=np.float64)
    if isinstance(pairing, JointShares):
        scores = answer_shares(pairing, share, other)
    else:
        pearson = 2.0 * math.sin(math.pi * pairing / 6.0)  # of the normal scores, for this rank correlation
        scores = pearson * normal_score(share) + math.sqrt(max(0.0, 1.0 - pearson**2)) * normal_score(other)
    return np.argsort(np.argsort(scores, kind="stable"), kind="stable")


def _even(num_samples: int) -> Samples:
    return (np.arange(num_samples) + 0.5) / num_samples


def normal_score(share: npt.ArrayLike) -> Samples:
    """Return the standard normal's quantile of each share, 0 < share < 1."""
    flat = np.asarray(share, dtype=np.float64)
    return np.array([_NORMAL.inv_cdf(value) for value in flat.ravel()]).reshape(flat.shape)


def _sample(quantiles: Mapping[float, float], mean: float | None, num_samples: int) -> Samples:
    """Return sorted samples [S] through the quantiles, with this mean or as near to it as the quantiles allow."""
    shares = _even(num_samples)
    # The extremes of a trace stand for its first and last request; a sample of S has those at half a step.
    known = {min(max(share, shares[0]), shares[-1]): max(tokens, 1.0) for share, tokens in sorted(quantiles.items())}
    scores = normal_score(list(known))
    logs = np.maximum.accumulate(np.log(list(known.values())))
    if len(scores) == 1:  # a log-normal through one quantile: the mean tells its spread
        spread = _log_sd(math.exp(logs[0]), scores[0], mean or 0.0)
        scores, logs = np.array([scores[0], scores[0] + 1.0]), np.array([logs[0], logs[0] + spread])
    at = normal_score(shares)
    width, rise = np.diff(scores), np.diff(logs)
    segment = np.clip(np.searchsorted(scores, at, side="right") - 1, 0, len(width) - 1)
    within = (at - scores[segment]) / width[segment]  # 0 to 1 between two quantiles, beyond in the tails

    def bent(exponent: float) -> Samples:
        tail = np.minimum(within, 0.0) * exponent + np.maximum(within - 1.0, 0.0) / exponent
        drawn = logs[segment] + rise[segment] * (np.clip(within, 0.0, 1.0) ** exponent + tail)
        return np.asarray(np.exp(np.clip(drawn, 0.0, math.log(MAX_TOKENS))))

    if mean is None:
        return bent(1.0)
    low, high = math.log(1 / 8), math.log(8)  # the mean falls as the exponent grows
    for _ in range(30):
        middle = (low + high) / 2
        low, high = (middle, high) if bent(math.exp(middle)).mean() > mean else (low, middle)
    return bent(math.exp(high))


def _log_sd(quantile: float, score: float, mean: float) -> float:
    """Return s of the log-normal whose quantile and mean these are: ln mean = ln quantile - s * score + s^2 / 2."""
    gap = math.log(max(mean, 1.0) / quantile)
    root = math.sqrt(max(0.0, score**2 + 2.0 * gap))
    return score + root if gap > 0 else max(0.0, score - root)  # of two solutions the narrower


def _sample_stated(name: str, stated: Mapping[str, float], num_samples: int) -> tuple[Samples, str]:
    """Return sorted samples [S] of one stated length, and how it is stated."""
    if not isinstance(stated, Mapping) or not stated:
        raise InputError(f"{name}: state at least one of {_STATED}")
    values = {key: _tokens(f"{name}.{key}", value) for key, value in stated.items()}
    if "fixed" in values:
        if len(values) > 1:
            raise InputError(f"{name}: fixed stands alone; remove {', '.join(sorted(set(values) - {'fixed'}))}")
        return np.full(num_samples, values["fixed"]), f"fixed at {values['fixed']:g}"
    quantiles = {_share(f"{name}.{key}", key): value for key, value in values.items() if key != "mean"}
    ordered = [quantiles[share] for share in sorted(quantiles)]
    if any(later < earlier for earlier, later in pairwise(ordered)):
        raise InputError(f"{name}: percentiles must not fall, got {', '.join(f'{tokens:g}' for tokens in ordered)}")
    mean = values.get("mean")
    if len(quantiles) >= 2:
        return _through(name, quantiles, mean, num_samples), "interpolated between the stated percentiles"
    if quantiles and mean is not None:
        return _through(name, quantiles, mean, num_samples), "log-normal through the stated mean and percentile"
    spread = catalog.calibration("inference")["length_log_sd_ratio"].value
    scores = spread * normal_score(_even(num_samples))
    label = f"of an assumed log-normal spread (standard deviation of the logarithm {spread:g})"
    if mean is not None:
        drawn = np.exp(scores)
        return np.maximum(drawn * mean / drawn.mean(), 1.0), label
    ((share, tokens),) = quantiles.items()
    anchor = spread * _NORMAL.inv_cdf(min(max(share, 0.5 / num_samples), 1 - 0.5 / num_samples))
    return np.clip(tokens * np.exp(scores - anchor), 1.0, MAX_TOKENS), label


def _through(name: str, quantiles: Mapping[float, float], mean: float | None, num_samples: int) -> Samples:
    drawn = _sample(quantiles, mean, num_samples)
    if mean is not None and abs(float(drawn.mean()) / mean - 1.0) > 0.05:
        raise InputError(
            f"{name}.mean: {mean:g} does not go with the percentiles, which allow about {drawn.mean():.0f}"
        )
    return drawn


def _tokens(where: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise InputError(f"{where}: {value!r} is not a number of tokens")
    if not 1 <= value <= MAX_TOKENS:
        raise InputError(f"{where}: {value:g} tokens is not between 1 and {MAX_TOKENS:,.0f}")
    return max(float(value), 1.0)


def _share(where: str, key: str) -> float:
    """Return the share of requests that a key names: p90 is 0.9."""
    if key in {"min", "max"}:
        return 0.0 if key == "min" else 1.0
    try:
        share = float(key.removeprefix("p")) / 100.0 if key.startswith("p") else math.nan
    except ValueError:
        share = math.nan
    if not 0.0 < share < 1.0:
        raise InputError(f"{where}: unknown key {key[:40]!r}; allowed: {_STATED}")
    return share
