"""Which replica a request goes to: the policies of `records.serving`, on live replicas."""

from __future__ import annotations

import random
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from steelyard.records.serving import Routing, keeps_prefix

PREFIX_CHARACTERS = 512  # of a prompt; those who share them share a cache
_REMEMBERED_PREFIXES = 10_000


@dataclass(slots=True, eq=False)
class Replica:
    """One replica as the front door sees it."""

    url: str
    index: int
    ready: bool = True
    in_flight: int = 0
    tokens: int = 0  # prompt and answer tokens of the requests in flight, estimated

    def has_room(self, limit: int) -> bool:
        return self.ready and self.in_flight < limit


Policy = Callable[[Sequence[Replica], str], Replica]


def policy(routing: Routing, seed: int | None = None) -> Policy:
    """Return a function from the replicas with room (at least one) and a prompt's beginning to one of them.

    Example:
        >>> busy, idle = Replica(url="a", index=0, in_flight=3), Replica(url="b", index=1)
        >>> policy("least-requests")([busy, idle], "").url
        'b'
    """
    rng = random.Random(seed)  # noqa: S311 - no secret
    turn = _Turn()
    if routing == "round-robin":
        return lambda replicas, _: turn.next(replicas)
    if routing == "least-requests":
        return lambda replicas, _: _least(replicas)
    if routing == "power-of-two":
        return lambda replicas, _: _least([rng.choice(replicas), rng.choice(replicas)])
    if routing == "least-kv":
        return lambda replicas, _: min(replicas, key=lambda replica: replica.tokens)
    return _Prefixes()


class _Turn:
    def __init__(self) -> None:
        self.last = -1

    def next(self, replicas: Sequence[Replica]) -> Replica:
        """Return the replica after the last one, among those with room."""
        chosen = min(replicas, key=lambda replica: (replica.index <= self.last, replica.index))
        self.last = chosen.index
        return chosen


class _Prefixes:
    """Sends a prompt where its beginning was last computed, unless that replica is much busier than the mean."""

    def __init__(self) -> None:
        self.known: OrderedDict[str, int] = OrderedDict()

    def __call__(self, replicas: Sequence[Replica], prefix: str) -> Replica:
        least = _least(replicas)
        if not prefix:
            return least
        home = next((replica for replica in replicas if replica.index == self.known.get(prefix)), least)
        mean = (sum(replica.in_flight for replica in replicas) + 1) / len(replicas)  # with the one that comes
        chosen = home if keeps_prefix(home.in_flight, mean) else least
        self.known[prefix] = chosen.index
        self.known.move_to_end(prefix)
        if len(self.known) > _REMEMBERED_PREFIXES:
            self.known.popitem(last=False)
        return chosen


def _least(replicas: Sequence[Replica]) -> Replica:
    return min(replicas, key=lambda replica: replica.in_flight)
