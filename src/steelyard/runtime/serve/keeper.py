"""One replica: its engine started, watched, started again when it fails, and drained when it is not needed."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import aiohttp

from steelyard.errors import OutsideProgramError, SteelyardError
from steelyard.runtime.serve.engine_process import RunningEngine
from steelyard.runtime.serve.pool import Pool
from steelyard.runtime.serve.routing import Replica
from steelyard.runtime.serve.spec import ReplicaSpec

_POLL_S, _HEALTH_EVERY_S, _HEALTH_TIMEOUT_S = 0.1, 2.0, 5.0
_RESTART_DELAYS_S = (0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
_STABLE_S = 60.0  # a replica that ran so long starts over with the shortest delay

Told = Callable[[str], None]


class Keeper:
    """Keeps one replica's engine running, and its place in the pool true to it."""

    def __init__(
        self,
        spec: ReplicaSpec,
        replica: Replica,
        pool: Pool,
        *,
        new_engine: Callable[[], RunningEngine],
        session: aiohttp.ClientSession,
        start_s: float,
        told: Told,
    ) -> None:
        self.spec, self.replica, self.pool = spec, replica, pool
        self.new_engine, self.session, self.start_s, self.told = new_engine, session, start_s, told
        self.engine: RunningEngine | None = None

    async def start(self) -> None:
        """Start the engine and return when it answers.

        Raises:
            OutsideProgramError: It ended, or did not answer in time; with its last words.
            InputError: It cannot be started as stated.
        """
        engine = self.engine = self.new_engine()
        try:
            async with asyncio.timeout(self.start_s):
                url = await engine.start(self.spec)
                await self._until_well(engine, url)
        except TimeoutError:
            await engine.stop()
            raise OutsideProgramError(
                f"{self.spec.engine} did not answer within {self.start_s:.0f} s (--start-timeout): "
                f"{await engine.ended()}"
            ) from None
        self.replica.url = url
        self._take_requests()

    async def keep_running(self) -> None:
        """Watch the engine, and start it again whenever it fails, later each time; runs until cancelled."""
        failures = 0
        while True:
            try:
                if self.engine is None:
                    await self.start()
                since = time.monotonic()
                last_words = await self._until_failed()
                failures = 0 if time.monotonic() - since > _STABLE_S else failures
            except (SteelyardError, OSError) as error:
                last_words = str(error)
            self.replica.ready = False
            await self.stop()
            delay = _RESTART_DELAYS_S[min(failures, len(_RESTART_DELAYS_S) - 1)]
            self.told(f"replica {self.replica.index} failed ({last_words}); starts again in {delay:g} s")
            failures += 1
            await asyncio.sleep(delay)

    async def drain(self) -> None:
        """Take no more requests, and end the engine when those it has are answered; cancelled, it may be kept on."""
        self.replica.ready = False
        while self.replica.in_flight:  # noqa: ASYNC110 - a rare wait, not worth a signal from every request's end
            await asyncio.sleep(_POLL_S)
        await self.stop()

    async def stop(self) -> None:
        """End the engine, if one runs."""
        engine, self.engine = self.engine, None
        if engine is not None:
            await asyncio.shield(engine.stop())  # a replica that is taken up again leaves its old engine to end

    async def _until_well(self, engine: RunningEngine, url: str) -> None:
        ended = asyncio.ensure_future(engine.ended())
        try:
            while not await healthy(self.session, url, 1.0):
                if ended.done():
                    raise OutsideProgramError(f"{self.spec.engine} ended while starting: {ended.result()}")
                await asyncio.sleep(_POLL_S)
        finally:
            ended.cancel()

    async def _until_failed(self) -> str:
        """Return last words when the engine has ended, or three looks at its health in a row have failed."""
        assert self.engine is not None
        ended = asyncio.ensure_future(self.engine.ended())
        missed = 0
        try:
            while missed < 3:
                done, _ = await asyncio.wait({ended}, timeout=_HEALTH_EVERY_S)
                if done:
                    return ended.result()
                well = await healthy(self.session, self.replica.url, _HEALTH_TIMEOUT_S)
                missed = 0 if well else missed + 1
                if well and not self.replica.ready:  # a request could not reach it for a moment
                    self._take_requests()
        finally:
            ended.cancel()
        return "it does not answer"

    def _take_requests(self) -> None:
        self.replica.ready = True
        self.pool.wake()


async def healthy(session: aiohttp.ClientSession, url: str, timeout_s: float) -> bool:
    """Tell whether a replica says that it is well."""
    try:
        async with session.get(f"{url}/health", timeout=aiohttp.ClientTimeout(total=timeout_s)) as response:
            return response.status == 200
    except (aiohttp.ClientError, TimeoutError, OSError):
        return False
