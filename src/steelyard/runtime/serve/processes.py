"""Replicas as processes: started, watched, started again when they fail, and stopped."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import os
import signal
import socket
import time
from collections import deque
from collections.abc import Callable

import aiohttp

from steelyard.errors import OutsideProgramError
from steelyard.runtime.serve.engines import engine
from steelyard.runtime.serve.pool import Pool
from steelyard.runtime.serve.routing import Replica
from steelyard.runtime.serve.spec import ReplicaSpec

_POLL_S, _HEALTH_EVERY_S, _HEALTH_TIMEOUT_S, _STOP_S = 0.1, 2.0, 5.0, 10.0
_RESTART_DELAYS_S = (0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
_STABLE_S = 60.0  # a replica that ran so long starts over with the shortest delay

Told = Callable[[str], None]


class ReplicaProcess:
    """One replica: its process, and the place it has in the pool while it is healthy."""

    def __init__(self, spec: ReplicaSpec, index: int, pool: Pool, told: Told) -> None:
        self.spec = spec
        self.pool = pool
        self.told = told
        self.replica = Replica(url="", index=index, ready=False)
        self.process: asyncio.subprocess.Process | None = None
        self.last_lines: deque[str] = deque(maxlen=50)

    async def start(self, session: aiohttp.ClientSession, start_s: float) -> None:
        """Start the process and return when it answers.

        Raises:
            OutsideProgramError: It ended, or did not answer in time; with its last words.
        """
        spec = dataclasses.replace(self.spec, port=_free_port())
        command = await asyncio.to_thread(engine(spec.engine).command, spec)  # may convert the model first
        self.last_lines.clear()
        self.process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.PIPE,  # closed when this process ends, which ends the replica
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,  # an interrupt at the terminal is for the front door, which lets answers end first
        )
        reading = asyncio.create_task(self._read_errors(self.process))
        url = f"http://127.0.0.1:{spec.port}"
        deadline = time.monotonic() + start_s
        while not await healthy(session, url, 1.0):
            if self.process.returncode is not None:
                await reading
                raise OutsideProgramError(f"{spec.engine} ended while starting: {self._last_words()}")
            if time.monotonic() > deadline:
                await self.stop()
                raise OutsideProgramError(
                    f"{spec.engine} did not answer within {start_s:.0f} s (--start-timeout): {self._last_words()}"
                )
            await asyncio.sleep(_POLL_S)
        self.replica.url = url
        self.replica.ready = True
        self.pool.wake()

    async def keep_running(self, session: aiohttp.ClientSession, start_s: float) -> None:
        """Watch the process, and start it again whenever it fails, later each time; runs until cancelled."""
        failures = 0
        while True:
            since = time.monotonic()
            await self._until_failed(session)
            self.replica.ready = False
            await self.stop()
            failures = 0 if time.monotonic() - since > _STABLE_S else failures
            while not self.replica.ready:
                delay = _RESTART_DELAYS_S[min(failures, len(_RESTART_DELAYS_S) - 1)]
                self.told(f"replica {self.replica.index} failed ({self._last_words()}); starts again in {delay:g} s")
                await asyncio.sleep(delay)
                failures += 1
                with contextlib.suppress(OutsideProgramError, OSError):
                    await self.start(session, start_s)

    async def _until_failed(self, session: aiohttp.ClientSession) -> None:
        """Return when the process has ended, or three looks at its health in a row have failed."""
        process = self.process
        assert process is not None
        ended = asyncio.create_task(process.wait())
        missed = 0
        while missed < 3:
            done, _ = await asyncio.wait({ended}, timeout=_HEALTH_EVERY_S)
            if done:
                return
            well = await healthy(session, self.replica.url, _HEALTH_TIMEOUT_S)
            missed = 0 if well else missed + 1
            if well and not self.replica.ready:  # a request could not reach it for a moment
                self.replica.ready = True
                self.pool.wake()
        ended.cancel()

    async def stop(self) -> None:
        """End the process: politely, then at once."""
        process = self.process
        if process is None or process.returncode is not None:
            return
        for number, patience_s in ((signal.SIGTERM, _STOP_S), (signal.SIGKILL, None)):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, number)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(process.wait(), patience_s)
                return

    async def _read_errors(self, process: asyncio.subprocess.Process) -> None:
        assert process.stderr is not None
        while data := await process.stderr.read(65536):
            self.last_lines.extend(
                text for line in data.decode(errors="replace").splitlines() if (text := line.strip())
            )

    def _last_words(self) -> str:
        """Return the last line that speaks of an error, else the last line."""
        telling = [line for line in self.last_lines if "error" in line.casefold()] or list(self.last_lines)
        return telling[-1][:300] if telling else "it said nothing"


async def healthy(session: aiohttp.ClientSession, url: str, timeout_s: float) -> bool:
    """Tell whether a replica says that it is well."""
    try:
        async with session.get(f"{url}/health", timeout=aiohttp.ClientTimeout(total=timeout_s)) as response:
            return response.status == 200
    except (aiohttp.ClientError, TimeoutError, OSError):
        return False


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
