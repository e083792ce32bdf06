"""The layouts of a search worth keeping: no other one that fits is both faster and smaller."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from steelyard.training.grid import fields, pick
from steelyard.training.layout import Layout

Floats = npt.NDArray[np.float64]
_BINS = 256  # of the usable memory: a coarse table that dismisses nearly all layouts without sorting them


class Front:
    """Layouts that no other beats in speed and in memory, kept up to date block by block.

    On a fixed number of devices time, device time and money rise together, so these two axes hold them all.
    """

    def __init__(self, usable_bytes: float) -> None:
        """Start empty, for a device with so much usable memory."""
        self.rate_per_s: Floats = np.zeros(0)
        self.total_bytes: Floats = np.zeros(0)
        self.layouts: dict[str, npt.NDArray[Any]] = {}
        self.usable_bytes = usable_bytes
        self._bins_per_byte = _BINS / usable_bytes
        self._best_below: Floats = np.zeros(_BINS + 1)  # by memory: the best rate kept that needs less

    def add(
        self,
        rate_per_s: Floats,
        total_bytes: Floats,
        block: Layout,
        places: npt.NDArray[np.intp],
        shape: tuple[int, ...],
    ) -> None:
        """Take the layouts at flat `places` of a block, with the rate and the memory of each."""
        bins = (total_bytes * self._bins_per_byte).astype(np.intp)
        hopeful = np.flatnonzero(rate_per_s > self._best_below[bins])
        if not hopeful.size:
            return
        rate = np.concatenate([self.rate_per_s, rate_per_s[hopeful]])
        size = np.concatenate([self.total_bytes, total_bytes[hopeful]])
        kept = undominated(rate, size)
        new = pick(block, places[hopeful[kept[kept >= self.rate_per_s.size] - self.rate_per_s.size]], shape)
        old = kept[kept < self.rate_per_s.size]
        order = np.concatenate([old, kept[kept >= self.rate_per_s.size]])
        self.layouts = {
            name: np.concatenate([self.layouts[name][old], getattr(new, name)]) if self.layouts else getattr(new, name)
            for name in fields()
        }
        self.rate_per_s, self.total_bytes = rate[order], size[order]
        filled = np.zeros(_BINS + 2)
        np.maximum.at(filled, (self.total_bytes * self._bins_per_byte).astype(np.intp) + 1, self.rate_per_s)
        self._best_below = np.maximum.accumulate(filled)[: _BINS + 1]

    def fastest_first(self) -> Layout:
        """Return the layouts kept, the fastest first, as one array a field."""
        order = np.argsort(-self.rate_per_s, kind="stable")
        return Layout(**{name: values[order] for name, values in self.layouts.items()})


def undominated(rate_per_s: Floats, total_bytes: Floats) -> npt.NDArray[np.intp]:
    """Return the places of the points that no other point beats: at least as fast, and smaller or faster.

    Example:
        >>> undominated(np.array([3.0, 2.0, 2.0, 1.0]), np.array([9.0, 5.0, 7.0, 6.0])).tolist()
        [0, 1]
    """
    order = np.lexsort((total_bytes, -rate_per_s))
    least = np.minimum.accumulate(np.concatenate([[np.inf], total_bytes[order][:-1]]))
    return order[total_bytes[order] < least]
