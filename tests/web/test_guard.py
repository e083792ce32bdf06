"""Whom the page answers to, and that what was pasted is whole whoever reads it."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("starlette")

from steelyard.web.guard import Guard, RefusedError
from steelyard.web.question import _written

NOBODY: Any = None


@pytest.mark.parametrize("host", ["192.168.0.7:8765", "10.1.2.3", "[fe80::1]:8765", "localhost:8765"])
def test_on_all_addresses_it_answers_to_each(host: str) -> None:
    guard = Guard(NOBODY, hosts=frozenset({"localhost"}), token="t", any_address=True)
    guard._check("GET", {"host": host})


@pytest.mark.parametrize("host", ["evil.example", "192.168.0.7.evil.example", "", "[evil]", "1.2.3"])
@pytest.mark.parametrize("any_address", [True, False])
def test_to_a_name_of_others_it_never_answers(host: str, any_address: bool) -> None:
    guard = Guard(NOBODY, hosts=frozenset({"localhost"}), token="t", any_address=any_address)
    with pytest.raises(RefusedError, match="answers to"):
        guard._check("GET", {"host": host})


def test_on_one_address_it_answers_to_no_other() -> None:
    guard = Guard(NOBODY, hosts=frozenset({"localhost"}), token="t")
    with pytest.raises(RefusedError, match="answers to"):
        guard._check("GET", {"host": "192.168.0.7:8765"})


def test_pasted_models_are_whole_for_all_who_ask_at_once(tmp_path: Path) -> None:
    files = {f"model-{number}.json": "x" * 100_000 for number in range(4)}
    together = threading.Barrier(8)

    def read(_: int) -> list[str]:
        together.wait(20.0)
        place = _written(files, tmp_path / "pasted")
        return [(place / name).read_text() for name in files]

    with ThreadPoolExecutor(8) as threads:
        assert all(found == list(files.values()) for found in threads.map(read, range(8)))
    assert len(list((tmp_path / "pasted").iterdir())) == 1
