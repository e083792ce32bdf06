"""What a user has measured on this machine is no part of any test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture(autouse=True, scope="session")
def no_measured_machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("data-home")
        patch.setenv("XDG_DATA_HOME", str(folder))
        yield folder


@pytest.fixture
def measured_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Let a test have measurements of its own."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    monkeypatch.delenv("STEELYARD_DATA", raising=False)
    return tmp_path
