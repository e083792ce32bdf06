"""Commands of this package beside this process: they end with the block, whatever happens in it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from steelyard.errors import OutsideProgramError
from steelyard.runtime.own_process import finished, running

SLEEPING = ["serve", "--engine", "sleep", "--port"]


def _free_port() -> str:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return str(probe.getsockname()[1])


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def _children(pid: int) -> list[int]:
    listed = subprocess.run(["ps", "-o", "pid=", "--ppid", str(pid)], capture_output=True, text=True, check=False)
    return [int(number) for number in listed.stdout.split()]


def test_a_command_that_fails_says_why() -> None:
    with pytest.raises(OutsideProgramError, match="nope"):
        finished([["compare", "nope.yaml"]], timeout_s=60)


def test_several_commands_run_to_their_end() -> None:
    finished([["catalog", "list"], ["catalog", "list", "workloads"]], timeout_s=60)


def test_an_error_in_the_block_leaves_nothing_running() -> None:
    pytest.importorskip("uvicorn", reason="serving needs the extra [run]")
    seen: list[int] = []

    def interrupted() -> None:
        with running([*SLEEPING, _free_port()]) as found:
            deadline = time.monotonic() + 60
            while not (replicas := _children(found.process.pid)):
                assert time.monotonic() < deadline
                time.sleep(0.05)
            found.check()
            assert found.resident_bytes() > 1e6
            seen.extend([found.process.pid, *replicas])
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    deadline = time.monotonic() + 20
    while any(map(_alive, seen)) and time.monotonic() < deadline:  # replicas end with the pipe to the door
        time.sleep(0.05)
    assert not [pid for pid in seen if _alive(pid)]


def test_a_signal_to_end_stops_what_runs(tmp_path: Path) -> None:
    told = tmp_path / "pid"
    program = f"""
import pathlib, time
from steelyard.runtime.own_process import ended_by_signal, running
with ended_by_signal(), running({[*SLEEPING, _free_port()]!r}) as found:
    pathlib.Path({str(told)!r}).write_text(str(found.process.pid))
    time.sleep(60)
"""
    process = subprocess.Popen([sys.executable, "-c", program], stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while not told.exists() or not told.read_text():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    process.wait(timeout=40)
    assert not _alive(int(told.read_text()))
