"""This package's own commands as processes beside this one, ended with it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import IO

from steelyard.errors import OutsideProgramError
from steelyard.runtime.threads import thread_variables

_STOP_S, _POLL_S = 15.0, 0.05


@dataclass(frozen=True, slots=True)
class Running:
    """A command that runs."""

    arguments: Sequence[str]
    process: subprocess.Popen[bytes]
    log: IO[bytes]

    def check(self) -> None:
        """Do nothing while it runs.

        Raises:
            OutsideProgramError: It has ended; with its last words.
        """
        if self.process.poll() is not None:
            raise _failure(self)

    def resident_bytes(self) -> float | None:
        """Return the main memory that it and all it started hold, None where /proc does not tell.

        What several of them map from one file is counted once a process.
        """
        page = os.sysconf("SC_PAGE_SIZE")
        held: dict[int, float] = {}
        below: dict[int, list[int]] = {}
        for stat in Path("/proc").glob("[0-9]*/stat"):
            try:
                fields = stat.read_text(encoding="utf-8").rpartition(")")[2].split()
            except OSError:  # it has ended
                continue
            held[int(stat.parent.name)] = float(fields[21]) * page
            below.setdefault(int(fields[1]), []).append(int(stat.parent.name))
        family, found = [self.process.pid], 0.0
        while family:
            one = family.pop()
            found += held.get(one, 0.0)
            family += below.get(one, [])
        return found or None


@contextmanager
def running(arguments: Sequence[str], *, threads: int | None = None) -> Iterator[Running]:
    """Run `python -m steelyard ARGUMENTS` while the block runs.

    The process has a session of its own and is told to stop at the end of the block, however that ends; what has not
    stopped 15 s later is killed with all it started.

    Args:
        arguments: Of the command.
        threads: Of the arithmetic libraries in it; as they choose when None.
    """
    with tempfile.TemporaryFile() as log:
        started = _start(arguments, threads, log)
        try:
            yield started
        finally:
            _stop(started.process)


def finished(all_arguments: Sequence[Sequence[str]], *, threads: int | None = None, timeout_s: float) -> None:
    """Run several commands at the same time, each as by `running`, and return when all have ended well.

    Raises:
        OutsideProgramError: One failed, with its last words, or did not end in time.
    """
    deadline = time.monotonic() + timeout_s
    with ExitStack() as stack:
        started = [stack.enter_context(running(arguments, threads=threads)) for arguments in all_arguments]
        while any(one.process.poll() is None for one in started):
            if time.monotonic() > deadline:
                raise OutsideProgramError(f"steelyard {all_arguments[0][0]}: not done within {timeout_s:.0f} s")
            time.sleep(_POLL_S)
        for one in started:
            if one.process.returncode:
                raise _failure(one)


@contextmanager
def ended_by_signal() -> Iterator[None]:
    """Let SIGTERM end the block as an interrupt at the terminal does, so that what it runs is stopped."""

    def heard(number: int, frame: FrameType | None) -> None:
        signal.default_int_handler(number, frame)

    before = signal.signal(signal.SIGTERM, heard)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _start(arguments: Sequence[str], threads: int | None, log: IO[bytes]) -> Running:
    environment: Mapping[str, str] = os.environ
    if threads is not None:
        environment = os.environ | thread_variables(threads)
    process = subprocess.Popen(  # noqa: S603 - our own command
        [sys.executable, "-m", "steelyard", *arguments],
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
        env=environment,
        start_new_session=True,
    )
    return Running(arguments, process, log)


def _stop(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(_STOP_S)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)  # what it started and left behind
    process.wait()


def _failure(one: Running) -> OutsideProgramError:
    one.log.seek(0)
    lines = one.log.read().decode(errors="replace").strip().splitlines()
    last = (lines or ["it said nothing"])[-1][:300]
    return OutsideProgramError(f"steelyard {one.arguments[0]} ended with {one.process.returncode}: {last}")
