"""An engine as a process of the machine that this code runs on."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import os
import re
import signal
import socket
from collections import deque
from collections.abc import Iterable
from typing import Protocol

from steelyard.runtime.serve.engines import engine
from steelyard.runtime.serve.spec import KEY_VARIABLE, ReplicaSpec

_STOP_S = 10.0
_RAISED = re.compile(r"\b[A-Z]\w*(?:Error|Exception): \S.*")  # as Python ends a traceback
_MOST_CHARACTERS = 500
_LONGEST_LINE_BYTES = 1 << 20


class RunningEngine(Protocol):
    """An engine that is started once and runs until it ends or is stopped, here or on another machine."""

    async def start(self, spec: ReplicaSpec) -> str:
        """Start it and return its address, at which it answers when it has loaded the model."""

    async def ended(self) -> str:
        """Wait until it has ended, and return its last words."""

    async def stop(self) -> None:
        """End it: politely, then at once."""


class EngineProcess:
    """The process of one engine; it ends with the process that started it."""

    def __init__(self) -> None:
        self._process: asyncio.subprocess.Process | None = None
        self._reading: asyncio.Task[None] | None = None
        self._last_lines: deque[str] = deque(maxlen=400)

    async def start(self, spec: ReplicaSpec) -> str:
        """Start it on a free port of `spec.host` and return its address.

        Raises:
            InputError: The model cannot be converted for it.
        """
        spec = dataclasses.replace(spec, port=_free_port(spec.host))
        command = await asyncio.to_thread(engine(spec.engine).command, spec)  # may convert the model first
        self._process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.PIPE,  # closed when this process ends, which ends the replica
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
            env=os.environ | {KEY_VARIABLE: spec.key},
            start_new_session=True,  # an interrupt at the terminal is for the front door, which lets answers end first
        )
        self._reading = asyncio.create_task(self._read_errors(self._process))
        return f"http://{spec.host}:{spec.port}"

    async def ended(self) -> str:
        """Wait until the process has ended, and return the first error among its last lines, else the last line.

        The first: what follows from it comes after it.
        """
        if self._process is not None and self._reading is not None:
            await self._process.wait()
            with contextlib.suppress(TimeoutError):  # a process of its own may hold the pipe open
                await asyncio.wait_for(asyncio.shield(self._reading), 1.0)
        lines = list(self._last_lines)
        raised = next((found[0] for line in lines if (found := _RAISED.search(line))), "")
        telling = [raised] if raised else [line for line in lines if "error" in line.casefold()] or lines
        return telling[-1][:_MOST_CHARACTERS] if telling else "it said nothing"

    async def stop(self) -> None:
        """End the process and those it has started: politely, then at once, also where it has ended before them."""
        process = self._process
        if process is None:
            return
        if process.returncode is None:
            _signal_group(process.pid, signal.SIGTERM)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(process.wait(), _STOP_S)
        _signal_group(process.pid, signal.SIGKILL)  # a server that outlives who started it would hold the device
        await process.wait()

    async def _read_errors(self, process: asyncio.subprocess.Process) -> None:
        """Keep the last lines; an engine may end in the middle of one."""
        assert process.stderr is not None
        rest = b""
        while data := await process.stderr.read(65536):
            *lines, rest = (rest + data).split(b"\n")
            self._keep(lines)
            rest = rest[-_LONGEST_LINE_BYTES:]
        self._keep([rest])

    def _keep(self, lines: Iterable[bytes]) -> None:
        self._last_lines.extend(text for line in lines if (text := line.decode(errors="replace").strip()))


def _signal_group(leader: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(leader, number)


def _free_port(host: str) -> int:
    with socket.socket() as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])
