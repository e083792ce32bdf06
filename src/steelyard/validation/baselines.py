"""Two rules that any model must beat: a constant share of the peak, and the nearest measured row."""

from __future__ import annotations

import numpy as np

from steelyard.validation.points import Vector


def constant_share(measured: Vector, scale: Vector, families: Vector) -> Vector:
    """Return scale * share for each point, with one share of all other families: the median of their medians.

    Args:
        measured: Figures measured [N].
        scale: What a share of 1 would give [N], for example the speed at the printed peak.
        families: Family of each point [N]; a point never sees its own. NaN where there is no other.

    Example:
        >>> constant_share(np.array([4.0, 5.0, 6.0]), np.array([10.0, 10.0, 10.0]), np.array(["a", "a", "b"])).tolist()
        [6.0, 6.0, 4.5]
    """
    names = np.unique(families)
    shares = {name: np.median((measured / scale)[families == name]) for name in names}
    guess = np.full(len(measured), np.nan)
    for name in names:
        others = [share for other, share in shares.items() if other != name]
        if others:
            guess[families == name] = np.median(others)
    result: Vector = guess * scale
    return result


def nearest_row(measured: Vector, scale: Vector, families: Vector, features: Vector) -> Vector:
    """Return scale * the share that the nearest point of another family reached.

    Args:
        measured: Figures measured [N].
        scale: What a share of 1 would give [N].
        families: Family of each point [N].
        features: What points are compared by [N, F], in units that make distances comparable (logarithms).

    Example:
        >>> nearest_row(np.array([4.0, 5.0, 9.0]), np.ones(3), np.array(["a", "b", "b"]),
        ...             np.array([[0.0], [1.0], [3.0]])).tolist()
        [5.0, 4.0, 4.0]
    """
    guess = np.full(len(measured), np.nan)
    share = measured / scale
    for name in np.unique(families):
        own, other = families == name, families != name
        if other.any():
            distance = np.abs(features[own][:, None, :] - features[other][None, :, :]).sum(axis=2)
            guess[own] = share[other][np.argmin(distance, axis=1)]
    result: Vector = guess * scale
    return result
