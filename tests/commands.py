"""The command line called in this process: what it answers, and how it refuses."""

from __future__ import annotations

import json
from typing import Any

import pytest

from steelyard.cli.main import run

DOCUMENT = ("schema", "steelyard_version", "inputs", "result", "breakdown", "sources", "warnings")


def answer(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> str:
    """Return what a command prints, which complains of nothing."""
    assert run(list(arguments)) == code, capsys.readouterr().err
    out, err = capsys.readouterr()
    assert all(line.startswith("steelyard: warning: ") for line in err.splitlines())
    return out


def refusal(capsys: pytest.CaptureFixture[str], *arguments: str, code: int) -> str:
    """Return the one line with which a command refuses."""
    assert run(list(arguments)) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    return err


def document(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> dict[str, Any]:
    """Return the one JSON document of a command, with all its parts and its sources spelt out."""
    found: dict[str, Any] = json.loads(answer(capsys, *arguments, "--json", code=code))
    assert all(part in found for part in DOCUMENT)
    assert all(source["title"] for source in found["sources"])
    return found
