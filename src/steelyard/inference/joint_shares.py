"""Which answer lengths go with which prompt lengths: drawn from a table of shares, and read off requests."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from steelyard.errors import InputError
from steelyard.records.joint_shares import JointShares

Values = npt.NDArray[np.float64]
Cuts = npt.NDArray[np.int64]

_LEVELS = 100  # edges lie at whole percents of the requests
_EVEN_BINS = 10
_FURTHER_BINS = 6
_BLOCK = 65_536  # requests at once, of 0.8 kB each


def answer_shares(joint: JointShares, prompt_share: Values, other: Values) -> Values:
    """Return where among all answers each one lies, given where its prompt lies: the conditional quantile [S].

    A row of the table is the distribution of answers over bins, given the prompt's bin; within a bin it is even
    (bilinear interpolation of the joint distribution).

    Args:
        joint: The table.
        prompt_share: Share of requests with a shorter prompt [S], 0 to 1.
        other: Share of the requests of such a prompt with a shorter answer [S], above 0 and below 1.

    Source:
        Nelsen, "An Introduction to Copulas", 2nd ed., 2006, section 2.3 (extension of a subcopula).

    Example:
        Half of all answers go with the longer prompts, four fifths of those are in the longer half:

        >>> from steelyard.records.joint_shares import joint_shares_of
        >>> table = joint_shares_of([[0.4, 0.1], [0.1, 0.4]])
        >>> answer_shares(table, np.array([0.9, 0.9]), np.array([0.2, 0.6])).round(6).tolist()
        [0.5, 0.75]
    """
    rows = len(joint.request_ratio)
    row = np.searchsorted(joint.isl_edge_ratio[1:-1], prompt_share, side="right")
    below = np.cumsum(joint.request_ratio, axis=1)
    below = np.hstack([np.zeros((rows, 1)), below / below[:, -1:]])  # [I, J + 1], share of the row below each edge
    # Rows one after the other on one axis: row i lies between i and i + 1.
    steps = (np.arange(rows)[:, None] + below).ravel()
    return np.interp(row + other, steps, np.tile(joint.osl_edge_ratio, rows))


def joint_shares(isl_tokens: npt.ArrayLike, osl_tokens: npt.ArrayLike) -> JointShares:
    """Return the table of shares of requests, 16 x 16 bins.

    The edges are the tenths of the requests and, on each side, six more whole percents, one after the other where an
    edge tells most about the other length (mutual information of the two bins): lengths that pile up at a few values
    would else be cut through. Requests of one and the same length lie evenly over the share that they take together.

    Args:
        isl_tokens, osl_tokens: Prompt and answer of each request [S].

    Raises:
        InputError: No requests, or not one answer for each prompt.

    Source:
        Cover and Thomas, "Elements of Information Theory", 2nd ed., 2006, section 2.3 (mutual information).

    Example:
        >>> prompts = np.arange(1000)
        >>> table = joint_shares(prompts, 2 * prompts)
        >>> table.request_ratio.shape, float(np.trace(table.request_ratio).round(6))
        ((16, 16), 1.0)
    """
    isl, osl = (np.asarray(tokens, dtype=np.float64) for tokens in (isl_tokens, osl_tokens))
    if isl.ndim != 1 or isl.shape != osl.shape or not len(isl):
        raise InputError(f"lengths: {isl.shape} prompts and {osl.shape} answers; allowed: one answer for each prompt")
    fine = _by_percents(isl, osl)
    cuts = [np.linspace(0, _LEVELS, _EVEN_BINS + 1).astype(np.int64)] * 2
    for _ in range(_FURTHER_BINS):
        for axis in (0, 1):
            cuts[axis] = _best_with_one_more(fine, cuts, axis)
    return JointShares(
        isl_edge_ratio=cuts[0] / _LEVELS, osl_edge_ratio=cuts[1] / _LEVELS, request_ratio=_table(fine, *cuts)
    )


def _by_percents(isl: Values, osl: Values) -> Values:
    """Return the shares of requests by percents of prompts and of answers [100, 100]."""
    total = np.zeros((_LEVELS, _LEVELS))
    prompts, answers = np.sort(isl), np.sort(osl)
    for start in range(0, len(isl), _BLOCK):
        block = slice(start, start + _BLOCK)
        total += _in_percents(isl[block], prompts).T @ _in_percents(osl[block], answers)
    return total / len(isl)


def _in_percents(tokens: Values, ordered: Values) -> Values:
    """Return which part of each request lies in which percent [S, 100]; those of one length take their places alike."""
    first = np.searchsorted(ordered, tokens, side="left")[:, None]
    last = np.searchsorted(ordered, tokens, side="right")[:, None]
    edges = np.linspace(0.0, len(ordered), _LEVELS + 1)
    return np.diff(np.clip((edges - first) / (last - first), 0.0, 1.0), axis=1)


def _best_with_one_more(fine: Values, cuts: list[Cuts], axis: int) -> Cuts:
    """Return the cuts of one axis with one more, where it tells most about the other axis."""
    free = np.setdiff1d(np.arange(1, _LEVELS), cuts[axis])
    tried = [np.sort(np.append(cuts[axis], cut)) for cut in free]
    told = [_information(_table(fine, *(cut, cuts[1]) if axis == 0 else (cuts[0], cut))) for cut in tried]
    return tried[int(np.argmax(told))]


def _table(fine: Values, isl_cuts: Cuts, osl_cuts: Cuts) -> Values:
    rows = np.add.reduceat(fine, isl_cuts[:-1], axis=0)
    return np.asarray(np.add.reduceat(rows, osl_cuts[:-1], axis=1))


def _information(table: Values) -> float:
    """Return the mutual information of row and column [nats]."""
    independent = table.sum(axis=1, keepdims=True) * table.sum(axis=0, keepdims=True)
    ratio = np.divide(table, independent, out=np.ones_like(table), where=table > 0.0)
    return float((table * np.log(ratio)).sum())
