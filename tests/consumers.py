"""The programs that emitted files are for, run in processes of their own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

PYTHON = os.environ.get("STEELYARD_CONSUMERS", sys.executable)  # has vLLM, Ray, torchtitan
BIN = Path(sys.executable).parent


def ran(*command: str | Path, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(word) for word in command], capture_output=True, text=True, cwd=folder, check=False)


def program(name: str) -> Path:
    """Return a program that is installed beside this Python; skip without it."""
    found = BIN / name
    if not found.exists():
        pytest.skip(f"{name} is not installed")
    return found


def consumer(module: str) -> str:
    """Return a Python in which a heavy consumer is installed; skip without one."""
    if ran(PYTHON, "-c", f"import {module}", folder=Path.cwd()).returncode:
        pytest.skip(f"{module} is not installed; name a Python that has it in STEELYARD_CONSUMERS")
    return PYTHON
