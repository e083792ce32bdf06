"""A line on stderr while a search takes its time; nothing off a terminal."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import Any, Self

PATIENCE_S = 2.0  # shorter work shows nothing


class LayoutProgress:
    """Counts the layouts looked at, and shows them once the search has taken longer than a moment."""

    def __init__(self, num_counts: int) -> None:
        """Take how many device counts are searched."""
        self.num_counts, self.layouts = num_counts, 0
        self._start = time.monotonic()
        self._status: Any = None

    def __enter__(self) -> Self:
        """Return the progress, which is called by the search."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Take the line away."""
        if self._status is not None:
            self._status.stop()

    def __call__(self, count: int, place: int, layouts: int) -> None:
        """Note that `layouts` more are done, of the device count at `place` in the list."""
        self.layouts += layouts
        if not sys.stderr.isatty() or time.monotonic() - self._start < PATIENCE_S:
            return
        text = f"{self.layouts:,} layouts; {count:,} devices ({place + 1} of {self.num_counts})"
        if self._status is None:
            from rich.console import Console

            self._status = Console(stderr=True).status(text)
            self._status.start()
        self._status.update(text)
