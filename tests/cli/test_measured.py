"""`compare --measured` refuses in one line."""

from __future__ import annotations

import pytest

from commands import refusal


@pytest.mark.parametrize("more", [["mine.yaml"], ["--explain", "purpose"], ["--html"]])
def test_what_does_not_go_with_measured_is_one_line(capsys: pytest.CaptureFixture[str], more: list[str]) -> None:
    refusal(capsys, "compare", "--measured", *more, code=2)


def test_without_engines_it_says_what_to_install(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("steelyard.measure.machine.probes.find_spec", lambda _name: None)
    assert "steelyard[run]" in refusal(capsys, "compare", "--measured", code=4)
