"""`steelyard doctor`: every gap names the command that closes it; what is broken is exit code 1."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path

import pytest
from click.testing import CliRunner

from steelyard import catalog
from steelyard.cli.main import steelyard
from steelyard.measure import health


def test_it_says_what_is_here_and_how_to_get_the_rest() -> None:
    shown = CliRunner().invoke(steelyard, ["doctor", "--json"])
    found = json.loads(shown.stdout)["result"]
    assert found["packages"]["numpy"]
    for one in found["capabilities"]:
        assert one["possible"] or one["next_step"].startswith("pip install")
    assert {age["table"] for age in found["ages"]} == set(health.PRICES)


def test_a_missing_module_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "_installed", lambda module: module != "ray")
    missing = [one for one in health.examine(date(2026, 11, 26)).capabilities if one.missing]
    assert [(one.missing, one.next_step) for one in missing] == [(("ray",), "pip install 'steelyard[cluster]'")]


def test_a_broken_folder_of_ones_own_is_exit_code_1(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "accelerators").mkdir()
    (tmp_path / "accelerators" / "mine.toml").write_text("id = ")
    monkeypatch.setenv("STEELYARD_DATA", str(tmp_path))
    catalog.refresh()
    try:
        found = health.examine(date(2026, 11, 26))
    finally:
        monkeypatch.delenv("STEELYARD_DATA")
        catalog.refresh()
    assert any("errors: steelyard catalog check" in told for told in found.problems)


def test_a_gpu_is_told_with_its_record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "nvidia-smi"
    program.write_text(
        "#!/bin/sh\necho 'GPU 0: NVIDIA H100 80GB HBM3 (UUID: GPU-1)'\necho 'GPU 1: NVIDIA Acme X1 (UUID: GPU-2)'\n"
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    known, unknown = health.examine(date(2026, 11, 26)).gpus
    assert known == "GPU 0: NVIDIA H100 80GB HBM3 (h100-sxm5-80gb)"
    assert unknown.startswith("GPU 1: NVIDIA Acme X1 (no record in the catalogue; ")
