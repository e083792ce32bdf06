"""Seeded draws of the uncertain inputs: one uniform number a name and draw, mapped onto each input's range.

A range is never computed with. The comparison is one pure function; it is evaluated at every draw, at once, and its
results are read off as p10, p50, p90. The median case is the same function at u = 0.5.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

from steelyard.records.estimate import Z90
from steelyard.records.figure import Figure

Draw = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Draws:
    """`count` draws of every uncertain input, each an array [count, 1] that broadcasts against months.

    Names are drawn independently of each other and of their order: adding an input changes no other one.
    """

    count: int
    seed: int | None  # None: the median case, u = 0.5 everywhere but where `pinned` says otherwise
    pinned: Mapping[str, Draw] = field(default_factory=dict)  # name -> standard normal scores [count, 1]
    asked: set[str] = field(default_factory=set)  # the names drawn so far that have a range

    def normal(self, name: str) -> Draw:
        """Return standard normal draws [count, 1] of the input called `name` (zeros in the median case)."""
        if self.seed is not None:
            return _normal(name, self.count, self.seed)
        return np.asarray(self.pinned.get(name, np.zeros((self.count, 1))), dtype=np.float64)

    def between(self, name: str, low: float, mid: float, high: float) -> Draw:
        """Return draws [count, 1] of a positive input whose p10, p50, p90 are `low`, `mid`, `high`.

        Log-normal on either side of the median, so that skewed ranges keep their three points.
        """
        if not 0 < low <= mid <= high:
            raise ValueError(f"{name}: need 0 < low <= mid <= high, got {low}, {mid}, {high}")
        z = self._ranged(name, low < high) / Z90
        return np.where(z < 0, mid * (low / mid) ** -z, mid * (high / mid) ** z)

    def figure(self, name: str, figure: Figure) -> Draw:
        """Return draws [count, 1] of a figure within its own range; a figure without one is a point."""
        low = figure.value if figure.low is None else min(figure.low, figure.value)
        high = figure.value if figure.high is None else max(figure.high, figure.value)
        return self.between(name, low, figure.value, high)

    def shifted(self, name: str, low: float, mid: float, high: float) -> Draw:
        """Return draws [count, 1] of an input of any sign: normal on either side of the median."""
        z = self._ranged(name, low < high) / Z90
        return np.where(z < 0, mid + (mid - low) * z, mid + (high - mid) * z)

    def factor(self, name: str, sigma: float) -> Draw:
        """Return log-normal factors [count, 1] around 1 with standard deviation `sigma` of the logarithm."""
        return np.exp(sigma * self._ranged(name, sigma > 0))

    def from_sorted(self, name: str, values: npt.NDArray[np.float64]) -> Draw:
        """Return draws [count, 1] of an input known by a list of observed values (for example one price a provider)."""
        z = self._ranged(name, len(values) > 1 and values[0] < values[-1])
        shares = _shares(name, self.count, self.seed) if self.seed is not None else _below(z)
        result: Draw = np.quantile(values, shares)
        return result

    def _ranged(self, name: str, has_range: bool) -> Draw:
        if has_range:
            self.asked.add(name)
        return self.normal(name)


@lru_cache(maxsize=256)
def _normal(name: str, count: int, seed: int) -> Draw:
    drawn = np.array([NormalDist().inv_cdf(u) for u in _shares(name, count, seed)[:, 0]]).reshape(-1, 1)
    drawn.flags.writeable = False  # shared by everyone who asks for it
    return drawn


@lru_cache(maxsize=256)
def _shares(name: str, count: int, seed: int) -> Draw:
    generator = np.random.default_rng([seed, zlib.crc32(name.encode())])
    # One draw in each of `count` equal slices of the distribution: the quantiles are exact at any count.
    slices: Draw = ((generator.permutation(count) + 0.5) / count).reshape(-1, 1)
    slices.flags.writeable = False
    return slices


def _below(scores: Draw) -> Draw:
    """Return the share of a standard normal distribution below each score; most scores are the same few."""
    unique, places = np.unique(scores, return_inverse=True)
    return np.array([NormalDist().cdf(z) for z in unique])[places].reshape(scores.shape)
