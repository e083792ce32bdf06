"""What one comparison leaves to the next of the same process: results by all that they were made from."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Any, TypeVar

from steelyard import catalog

T = TypeVar("T")
MOST = 512  # of some hundred kilobytes each at most


class Kept:
    """A bounded memory of results; the one that nobody asked for the longest goes first. Threads may share it."""

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._made: OrderedDict[Hashable, Any] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: Hashable, make: Callable[[], T]) -> T:
        """Return what `make` returned for an equal key under the same catalogue; what it raises is not kept.

        The key must hold everything that `make` reads beside the catalogue. The result is shared: do not change it.
        """
        full = (catalog.overlay(), key)
        with self._lock:
            if full in self._made:
                self._made.move_to_end(full)
                known: T = self._made[full]
                return known
        made = make()
        with self._lock:
            self._made[full] = made
            while len(self._made) > self._most:
                self._made.popitem(last=False)
        return made

    def forget(self) -> None:
        """Drop everything kept."""
        with self._lock:
            self._made.clear()


KEPT = Kept()
