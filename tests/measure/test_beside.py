"""A load beside what is predicted for it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from commands import refusal
from made_machine import write_machine
from steelyard.cli.main import run


def test_a_load_stands_beside_its_prediction(
    sleep_server, measured_home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("uvicorn", reason="serving needs the extra [run]")
    arguments = ["--concurrency", "2", "--requests", "4", "--isl", "8", "--osl", "4", "--predict", "llama-3.2-1b"]
    with sleep_server(ttft="5ms", tpot="2ms") as url:
        asked = ["measure", "serve", "--url", url, *arguments]
        assert "measure machine" in refusal(capsys, *asked, code=2)  # no record of this machine yet
        write_machine()
        assert run([*asked, "--json"]) == 0
        rows = json.loads(capsys.readouterr().out)["result"]["predicted"]
        assert [row["label"] for row in rows] == ["TTFT, mean", "TPOT, mean", "E2E, mean", "output throughput"]
        assert all(row["measured"] > 0 and row["predicted"]["p50"] > 0 for row in rows)
        assert run([*asked, "--on", "h100", "--engine", "vllm"]) == 0
        assert "1 x vllm on h100" in capsys.readouterr().out
