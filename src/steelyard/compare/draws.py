"""Seeded draws of the uncertain inputs: one uniform number a name and draw, mapped onto each input's range.

A range is never computed with. The comparison is one pure function; it is evaluated at every draw, at once, and its
results are read off as p10, p50, p90. The median case is the same function at u = 0.5.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from functools import lru_cache
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

from steelyard.records.figure import Figure

Draw = npt.NDArray[np.float64]

_Z90 = NormalDist().inv_cdf(0.9)


@dataclass(frozen=True, slots=True)
class Draws:
    """`count` draws of every uncertain input, each an array [count, 1] that broadcasts against months.

    Names are drawn independently of each other and of their order: adding an input changes no other one.
    """

    count: int
    seed: int | None  # None: the median case, u = 0.5 everywhere

    def normal(self, name: str) -> Draw:
        """Return standard normal draws [count, 1] of the input called `name` (zeros in the median case)."""
        return np.zeros((self.count, 1)) if self.seed is None else _normal(name, self.count, self.seed)

    def between(self, name: str, low: float, mid: float, high: float) -> Draw:
        """Return draws [count, 1] of a positive input whose p10, p50, p90 are `low`, `mid`, `high`.

        Log-normal on either side of the median, so that skewed ranges keep their three points.
        """
        z = self.normal(name) / _Z90
        if not 0 < low <= mid <= high:
            raise ValueError(f"{name}: need 0 < low <= mid <= high, got {low}, {mid}, {high}")
        return np.where(z < 0, mid * (low / mid) ** -z, mid * (high / mid) ** z)

    def figure(self, name: str, figure: Figure) -> Draw:
        """Return draws [count, 1] of a figure within its own range; a figure without one is a point."""
        low = figure.value if figure.low is None else min(figure.low, figure.value)
        high = figure.value if figure.high is None else max(figure.high, figure.value)
        return self.between(name, low, figure.value, high)

    def shifted(self, name: str, low: float, mid: float, high: float) -> Draw:
        """Return draws [count, 1] of an input of any sign: normal on either side of the median."""
        z = self.normal(name) / _Z90
        return np.where(z < 0, mid + (mid - low) * z, mid + (high - mid) * z)

    def factor(self, name: str, sigma: float) -> Draw:
        """Return log-normal factors [count, 1] around 1 with standard deviation `sigma` of the logarithm."""
        return np.exp(sigma * self.normal(name))

    def from_sorted(self, name: str, values: npt.NDArray[np.float64]) -> Draw:
        """Return draws [count, 1] of an input known by a list of observed values (for example one price a provider)."""
        shares = np.full((self.count, 1), 0.5) if self.seed is None else _shares(name, self.count, self.seed)
        result: Draw = np.quantile(values, shares)
        return result


@lru_cache(maxsize=256)
def _normal(name: str, count: int, seed: int) -> Draw:
    generator = np.random.default_rng([seed, zlib.crc32(name.encode())])
    # One draw in each of `count` equal slices of the distribution: the quantiles are exact at any count.
    slices = (generator.permutation(count) + 0.5) / count
    drawn = np.array([NormalDist().inv_cdf(u) for u in slices]).reshape(-1, 1)
    drawn.flags.writeable = False  # shared by everyone who asks for it
    return drawn


@lru_cache(maxsize=256)
def _shares(name: str, count: int, seed: int) -> Draw:
    """Return the draws as shares of the distribution [count, 1]."""
    drawn = np.array([NormalDist().cdf(z) for z in _normal(name, count, seed)[:, 0]]).reshape(-1, 1)
    drawn.flags.writeable = False
    return drawn
