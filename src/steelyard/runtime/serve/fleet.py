"""The replicas of one service: as many as are asked for, or as the load asks for."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from steelyard.records.serving import Autoscaling
from steelyard.runtime.serve.keeper import Keeper, Told
from steelyard.runtime.serve.pool import Pool
from steelyard.runtime.serve.scaling import Scaler


class Fleet:
    """Starts replicas, keeps them running, and adds or drains some as the load changes.

    A replica is off, up (it starts or serves) or draining; one that drains is taken up again before one is started.
    """

    def __init__(self, keepers: Sequence[Keeper], pool: Pool, told: Told) -> None:
        self.keepers, self.pool, self.told = keepers, pool, told
        self.up: dict[Keeper, asyncio.Task[None]] = {}
        self.draining: dict[Keeper, asyncio.Task[None]] = {}
        self.following: asyncio.Task[None] | None = None

    async def start(self, count: int, scaling: Autoscaling | None = None) -> None:
        """Start the first replicas and return when they answer; from then on they are kept running.

        Args:
            count: How many.
            scaling: How many there are to be later, by the load.

        Raises:
            OutsideProgramError: One does not start.
            InputError: One cannot be started as stated.
        """
        first, *others = self.keepers[:count]
        await first.start()  # what it prepares (a converted model) the others share
        starting = [asyncio.create_task(keeper.start()) for keeper in others]
        try:
            await asyncio.gather(*starting)
        finally:
            for task in starting:
                task.cancel()
        for keeper in self.keepers[:count]:
            self._take_up(keeper)
        if scaling is not None:
            self.following = asyncio.create_task(self._follow_load(scaling))

    async def stop(self) -> None:
        """End all replicas."""
        tasks = [*self.up.values(), *self.draining.values(), *([self.following] if self.following else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.gather(*(keeper.stop() for keeper in self.keepers))

    async def _follow_load(self, scaling: Autoscaling) -> None:
        scaler = Scaler(scaling)
        while True:
            await asyncio.sleep(scaling.interval_s)
            self.draining = {keeper: task for keeper, task in self.draining.items() if not task.done()}
            in_system = self.pool.in_flight + len(self.pool.waiting)
            wanted = scaler.wanted(in_system=in_system, up=len(self.up))
            if wanted != len(self.up):
                self.told(f"{in_system} requests in the system: {len(self.up)} -> {wanted} replicas")
                self._scale(wanted)

    def _scale(self, wanted: int) -> None:
        off = [keeper for keeper in self.keepers if keeper not in self.up and keeper not in self.draining]
        for keeper in [*self.draining, *off][: max(wanted - len(self.up), 0)]:
            self._take_up(keeper)
        for keeper in [keeper for keeper in reversed(self.keepers) if keeper in self.up][: len(self.up) - wanted]:
            self.up.pop(keeper).cancel()
            self.draining[keeper] = asyncio.create_task(keeper.drain())

    def _take_up(self, keeper: Keeper) -> None:
        if (draining := self.draining.pop(keeper, None)) is not None:
            draining.cancel()
        self.up[keeper] = asyncio.create_task(keeper.keep_running())
