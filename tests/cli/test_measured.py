"""`compare --measured` refuses in one line."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from commands import answer, refusal
from steelyard.cli import compare_measured


@pytest.mark.parametrize("more", [["mine.yaml"], ["--explain", "purpose"], ["--html"]])
def test_what_does_not_go_with_measured_is_one_line(capsys: pytest.CaptureFixture[str], more: list[str]) -> None:
    refusal(capsys, "compare", "--measured", *more, code=2)


def test_without_engines_it_says_what_to_install(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("steelyard.measure.machine.probes.find_spec", lambda _name: None)
    assert "steelyard[run]" in refusal(capsys, "compare", "--measured", code=4)


@pytest.fixture
def worked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[Path]:
    """Everything but the work of minutes; the folders that it was done in."""
    done: list[Path] = []

    def trial(_plan: object, folder: Path, _tell: object) -> tuple[None, None]:
        done.append(folder)
        model = folder / "kept" / "model"
        model.mkdir(parents=True)
        (model / "config.json").write_text("{}")
        return None, None

    monkeypatch.setattr(compare_measured, "_check_engines", lambda: None)
    monkeypatch.setattr(compare_measured, "_measured_machine", lambda: ())
    monkeypatch.setattr(compare_measured, "_rendered", lambda *_, **__: "the seven factors")
    monkeypatch.setattr("steelyard.measure.trial.run_trial", trial)
    monkeypatch.setattr("steelyard.compare.measured.compare_measured", lambda *_, **__: None)
    monkeypatch.setattr("steelyard.catalog.accelerator", lambda _name: Path("this machine"))
    return done


@pytest.mark.parametrize(
    ("keep", "words"),
    [("full", "is not empty (it holds mine.txt)"), ("file", "File exists"), ("file/below", "Not a directory")],
)
def test_where_the_model_cannot_be_kept_nothing_is_begun(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, worked: list[Path], keep: str, words: str
) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("mine")
    (tmp_path / "file").write_text("mine")
    told = refusal(capsys, "compare", "--measured", "--keep", str(tmp_path / keep), code=2)
    assert words in told
    assert worked == []


@pytest.mark.parametrize("there", [False, True])
def test_the_model_is_kept_in_a_new_or_an_empty_folder(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, worked: list[Path], there: bool
) -> None:
    keep = tmp_path / "mine"
    if there:
        keep.mkdir()
    assert answer(capsys, "compare", "--measured", "--keep", str(keep)) == "the seven factors\n"
    assert [path.name for path in keep.iterdir()] == ["config.json"]
    assert not worked[0].exists()


def test_the_answer_is_told_even_where_the_model_cannot_be_kept_in_the_end(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, worked: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(shutil, "copytree", full)
    from steelyard.cli.main import run

    assert run(["compare", "--measured", "--keep", str(tmp_path / "mine")]) == 4
    out, err = capsys.readouterr()
    assert out == "the seven factors\n"
    assert "No space left on device" in err
    assert err.count("\n") == 1
    assert len(worked) == 1
