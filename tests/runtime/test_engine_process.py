"""An engine's process: what it said last, and that nothing of it is left behind."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from steelyard.runtime.serve import engine_process
from steelyard.runtime.serve.engine_process import EngineProcess
from steelyard.runtime.serve.spec import ReplicaSpec

SPEC = ReplicaSpec(engine="other", model="", name="m", slots=1, context_tokens=0, threads=1)


async def _ended(script: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """Run a script as an engine until it ends by itself, then stop it; return its last words."""
    made: Any = SimpleNamespace(command=lambda _: [sys.executable, "-c", script])
    monkeypatch.setattr(engine_process, "engine", lambda _: made)
    held = EngineProcess()
    await held.start(SPEC)
    try:
        return await asyncio.wait_for(held.ended(), 60.0)
    finally:
        await held.stop()


def test_what_an_engine_left_behind_ends_with_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told = tmp_path / "pid"
    script = (
        "import os, pathlib, subprocess, sys\n"
        "server = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'], stderr=subprocess.DEVNULL)\n"
        f"pathlib.Path({str(told)!r}).write_text(str(server.pid))\n"
        "os._exit(9)\n"  # as if it had been killed for memory
    )
    asyncio.run(_ended(script, monkeypatch))
    server = int(told.read_text())
    for _ in range(200):  # it was told; on a busy machine it takes a moment to go
        if not _runs(server):
            return
        time.sleep(0.05)
    pytest.fail("the server outlives the engine that started it")


def _runs(process: int) -> bool:
    try:
        os.kill(process, 0)
        return Path(f"/proc/{process}/stat").read_text(encoding="ascii").split()[2] != "Z"
    except OSError:
        return False


def test_last_words_that_come_in_pieces_are_read_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    script = (
        "import sys, time\n"
        "for part in ('Traceback\\nValueError: no such ', 'layer: caf\\u00e9'.encode()[:-1], b'\\xa9 9'):\n"
        "    sys.stderr.buffer.write(part if isinstance(part, bytes) else part.encode())\n"
        "    sys.stderr.flush(); time.sleep(0.2)\n"
    )
    assert asyncio.run(_ended(script, monkeypatch)) == "ValueError: no such layer: caf\u00e9 9"
