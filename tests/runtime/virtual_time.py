"""An event loop for tests whose clock jumps to what is due next."""

from __future__ import annotations

import asyncio


class VirtualTime(asyncio.SelectorEventLoop):
    """Sleeps take no time."""

    def __init__(self) -> None:
        super().__init__()
        self.now_s = 0.0

    def time(self) -> float:
        return self.now_s

    def _run_once(self) -> None:
        if not self._ready and self._scheduled:
            self.now_s = max(self.now_s, self._scheduled[0].when())
        super()._run_once()
