"""How two costs that partly run at the same time add up."""

from __future__ import annotations

import numpy as np

from steelyard.units import Array


def power_sum(a: Array, b: Array, p: Array) -> Array:
    """Return (a^p + b^p)^(1/p) of two times of at least 0, without overflow.

    It is never below the larger of the two, grows with either, and doubles when both double; so whatever
    holds of the roofs (a faster device is not slower, two batches take at most twice the time of one) holds
    of it.

    Example:
        >>> float(power_sum(3.0, 4.0, 2.0)), float(power_sum(3.0, 4.0, 1.0))
        (5.0, 7.0)
    """
    high = np.maximum(np.asarray(a, dtype=np.float64), b)
    share = np.minimum(a, b) / np.where(high > 0, high, 1.0)
    result: Array = high * (1.0 + share**p) ** (1.0 / np.asarray(p))
    return result
