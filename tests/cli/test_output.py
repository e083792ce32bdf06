from __future__ import annotations

import stat
import warnings
from pathlib import Path

import pytest

from steelyard.cli import output
from steelyard.cli.output import deliver, quiet_python_warnings, warn, write_atomically
from steelyard.errors import InputError


def test_an_answer_goes_to_stdout_with_one_newline(capsys: pytest.CaptureFixture[str]) -> None:
    deliver("answer", None)
    deliver("answer\n", None)
    assert capsys.readouterr().out == "answer\nanswer\n"


def test_a_file_holds_the_answer_and_stdout_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    deliver("größer", tmp_path / "a.txt")
    assert (tmp_path / "a.txt").read_text(encoding="utf-8") == "größer\n"
    assert capsys.readouterr().out == ""
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]


def test_a_file_is_replaced_with_its_permissions_and_through_its_link(tmp_path: Path) -> None:
    real, link = tmp_path / "real", tmp_path / "link"
    real.write_text("old")
    real.chmod(0o640)
    link.symlink_to(real)
    write_atomically(link, "new")
    assert link.is_symlink()
    assert real.read_text() == "new"
    assert stat.S_IMODE(real.stat().st_mode) == 0o640


def test_a_pipe_or_device_is_written_to(tmp_path: Path) -> None:
    write_atomically(Path("/dev/null"), "gone")
    assert stat.S_ISCHR(Path("/dev/null").stat().st_mode)


def test_where_nothing_can_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for path in (tmp_path, tmp_path / "nope" / "a", tmp_path / "file" / "a", tmp_path / ("x" * 300), Path("a\0b")):
        with pytest.raises(InputError, match="cannot be written") as caught:
            deliver("answer", path)
        assert "\n" not in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_nothing_half_written_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    (tmp_path / "a").write_text("old")
    monkeypatch.setattr(output.os, "fsync", full)
    with pytest.raises(InputError, match="No space left"):
        deliver("new", tmp_path / "a")
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
    assert (tmp_path / "a").read_text() == "old"


def test_warnings_go_to_stderr_one_line_each(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    warn(["price is\nold", "b"])
    monkeypatch.setattr(warnings, "showwarning", warnings.showwarning)
    quiet_python_warnings()
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        quiet_python_warnings()
        warnings.warn("odd", stacklevel=1)
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines() == [
        "steelyard: warning: price is old", "steelyard: warning: b", "steelyard: warning: odd",
    ]  # fmt: skip
