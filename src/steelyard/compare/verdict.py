"""Verdicts: who is best in how many of the draws, under a criterion that is printed with the answer."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from steelyard import catalog
from steelyard.compare.result import TIE, TOO_CLOSE, Verdict


def best_of(
    draws: Mapping[str, npt.NDArray[np.float64]],
    *,
    criterion: str,
    lower_is_better: bool = True,
    because: str = "",
    nobody: str = "no alternative is in the running",
) -> Verdict:
    """Return the verdict over alternatives whose draws [D, ...] are paired: one draw is one possible world.

    The winner is the alternative that is best in at least the calibrated share of the worlds; below that share the
    answer is too close to call, or a tie where several are equally the best.
    """
    if not draws:
        return Verdict(winner="", criterion=criterion, because=nobody)
    names = list(draws)
    size = max(np.size(values) for values in draws.values())
    table = np.stack([np.broadcast_to(np.ravel(draws[name]), size) for name in names])
    best = best_in_each(table if lower_is_better else -table)
    share = best.mean(axis=1)  # alone or tied
    shares = dict(zip(names, (best / np.maximum(best.sum(axis=0), 1)).mean(axis=1).tolist(), strict=True))
    needed = catalog.calibration("compare")["win_probability"].value
    if len(names) == 1:
        because = because or "the only one in the running"
        return Verdict(winner=names[0], criterion=criterion, because=because, shares=shares)
    first = int(np.argmax(share))
    if share[first] < needed:
        leaders = [names[i] for i in np.argsort(-share, kind="stable")[:2]]
        return Verdict(
            winner=TOO_CLOSE,
            criterion=criterion,
            because=f"{' or '.join(leaders)}; the likelier is best in {share[first]:.0%} of draws",
            probability=float(share[first]),
            shares=shares,
        )
    tied = [name for name, part in zip(names, share, strict=True) if part >= needed]
    if len(tied) > 1:
        return Verdict(winner=TIE, criterion=criterion, because=f"{' and '.join(tied)} alike", shares=shares)
    # A comparison of single values has no draws to take a share of.
    probability = float(share[first]) if size > 1 else None
    return Verdict(winner=names[first], criterion=criterion, because=because, probability=probability, shares=shares)


def best_in_each(cost: npt.NDArray[np.float64]) -> npt.NDArray[np.bool_]:
    """Tell which of the alternatives [A, ...] cost least in each place, more than one where they tie.

    Where all are infinite, none is the best.
    """
    least = cost.min(axis=0)
    result: npt.NDArray[np.bool_] = (cost == least) & np.isfinite(least)
    return result
