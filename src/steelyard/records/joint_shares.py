"""How the lengths of prompts and answers go together: a table of shares of requests."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Shares = npt.NDArray[np.float64]

MAX_BINS = 100
_TOLERANCE = 0.002  # of the requests: shares are written with three or four digits


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class JointShares:
    """Shares of requests by the bin of their prompt and the bin of their answer.

    Bins are cut at shares of requests: edges 0, 0.5, 1 part the shorter half from the longer. So the table says only
    which lengths go together; how long they are is left to the quantiles. Within a cell nothing more is known.
    """

    isl_edge_ratio: Shares  # [I + 1], rising from 0 to 1
    osl_edge_ratio: Shares  # [J + 1], the same
    request_ratio: Shares  # [I, J], sums to 1


def joint_shares_of(
    values: object,
    isl_edges: object = None,
    osl_edges: object = None,
) -> JointShares:
    """Return a table of shares as it is written, checked.

    Args:
        values: One row for each bin of prompts, in it one share of all requests for each bin of answers.
        isl_edges, osl_edges: Edges of the bins, as shares of requests from 0 to 1; bins of equal width when None.

    Raises:
        ValueError: It is no such table, or the bins hold other shares of the requests than their edges say.

    Example:
        >>> table = joint_shares_of([[0.4, 0.1], [0.1, 0.4]])
        >>> table.isl_edge_ratio.tolist()
        [0.0, 0.5, 1.0]
    """
    shares = share_rows(values)
    stated = (("isl_edges", isl_edges), ("osl_edges", osl_edges))
    edges = [_edges_of(bins, name, given) for bins, (name, given) in zip(shares.shape, stated, strict=True)]
    if abs(shares.sum() - 1.0) > _TOLERANCE:
        raise ValueError(f"the shares sum to {shares.sum():.4g}; allowed: 1, all requests")
    for axis, name in ((1, "row"), (0, "column")):
        held, widths = shares.sum(axis=axis), np.diff(edges[1 - axis])
        wrong = np.flatnonzero((np.abs(held - widths) > _TOLERANCE) | (held <= 0.0))
        if len(wrong):
            at = int(wrong[0])
            raise ValueError(
                f"{name} {at + 1} sums to {held[at]:.4g}; allowed: {widths[at]:.4g}, the width of its bin "
                f"(within {_TOLERANCE:g})"
            )
    return JointShares(isl_edge_ratio=edges[0], osl_edge_ratio=edges[1], request_ratio=shares)


def share_rows(values: object) -> Shares:
    """Return the rows of a table of shares [I, J].

    Raises:
        ValueError: They are none.
    """
    rows = values if isinstance(values, (list, tuple)) else ()
    widths = {len(row) if isinstance(row, (list, tuple)) else 0 for row in rows}
    allowed = f"2 to {MAX_BINS} rows, each a list of the same 2 to {MAX_BINS} shares from 0 to 1"
    if not (len(widths) == 1 and 2 <= len(rows) <= MAX_BINS and 2 <= min(widths) <= MAX_BINS):
        raise ValueError(f"is no table of shares; allowed: {allowed}")
    return np.array([_shares(row, allowed) for row in rows])


def share_edges(stated: object) -> Shares:
    """Return the edges of bins of requests.

    Raises:
        ValueError: They are none.
    """
    allowed = "a list of shares of requests that rises from 0 to 1"
    edges = _shares(stated if isinstance(stated, (list, tuple)) else (), allowed)
    if len(edges) < 3 or edges[0] != 0.0 or edges[-1] != 1.0 or (np.diff(edges) <= 0.0).any():
        raise ValueError(f"are no edges of bins; allowed: {allowed}")
    return edges


def _edges_of(bins: int, name: str, stated: object) -> Shares:
    if stated is None:
        return np.linspace(0.0, 1.0, bins + 1)
    try:
        edges = share_edges(stated)
    except ValueError as error:
        raise ValueError(f"{name} {error}") from None
    if len(edges) != bins + 1:
        raise ValueError(f"{name}: {len(edges)} edges; allowed: {bins + 1}, for the table has {bins} bins")
    return edges


def _shares(values: Sequence[object], allowed: str) -> Shares:
    for value in values:
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0.0 <= value <= 1.0:
            raise ValueError(f"hold {str(value)[:40]!r}, which is no share; allowed: {allowed}")
    return np.array(values, dtype=np.float64)
