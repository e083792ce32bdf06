"""The replicas behind one address and the bounded queue before them."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass

from steelyard.runtime.serve.routing import Policy, Replica


class QueueFullError(Exception):
    """No replica has room, and the queue is full."""


@dataclass(slots=True, eq=False)
class _Waiting:
    prefix: str
    place: asyncio.Future[Replica]


class Pool:
    """Hands out places on replicas, at most `limit` at once on each; those who wait are served in order."""

    def __init__(self, policy: Policy, *, limit: int, max_queue: int) -> None:
        self.replicas: list[Replica] = []
        self.policy = policy
        self.limit = limit
        self.max_queue = max_queue
        self.waiting: deque[_Waiting] = deque()

    @property
    def in_flight(self) -> int:
        return sum(replica.in_flight for replica in self.replicas)

    async def acquire(self, prefix: str, *, again: bool = False) -> Replica:
        """Return a replica with a place on it taken; `release` gives it back.

        A request that comes `again`, after its replica failed, was accepted before: it waits at the front of the
        queue and is never refused.

        Raises:
            QueueFullError: All places and the queue are taken.
        """
        if not self.waiting or again:
            chosen = self._choose(prefix)
            if chosen is not None:
                return chosen
        if len(self.waiting) >= self.max_queue and not again:
            raise QueueFullError
        entry = _Waiting(prefix, asyncio.get_running_loop().create_future())
        if again:
            self.waiting.appendleft(entry)
        else:
            self.waiting.append(entry)
        try:
            return await entry.place
        except asyncio.CancelledError:
            if entry.place.done() and not entry.place.cancelled():  # given a place and cancelled at the same moment
                self.release(entry.place.result())
            elif entry in self.waiting:
                self.waiting.remove(entry)
            raise

    def release(self, replica: Replica) -> None:
        """Give a place back."""
        replica.in_flight -= 1
        self.wake()

    def wake(self) -> None:
        """Let those who wait go on where there is room; called whenever a replica gets some."""
        while self.waiting:
            if self.waiting[0].place.done():  # gave up
                self.waiting.popleft()
                continue
            chosen = self._choose(self.waiting[0].prefix)
            if chosen is None:
                return
            self.waiting.popleft().place.set_result(chosen)

    def _choose(self, prefix: str) -> Replica | None:
        free = [replica for replica in self.replicas if replica.has_room(self.limit)]
        if not free:
            return None
        chosen = self.policy(free, prefix)
        chosen.in_flight += 1
        return chosen
