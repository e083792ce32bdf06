from __future__ import annotations

import os
import resource
import subprocess
import sys

import pytest

from steelyard import __version__
from steelyard.cli import main
from steelyard.cli.main import COMMANDS, run
from steelyard.errors import DoesNotFitError, InputError, OutsideProgramError, SteelyardError, UnknownError

HEAVY = ("numpy", "pydantic", "rich", "plotly", "yaml", "steelyard.units", "steelyard.compare", "steelyard.report")


def steelyard(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "steelyard", *arguments],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **environment},
    )


def one_line(capsys: pytest.CaptureFixture[str]) -> str:
    """Return the only line on stderr; nothing may stand on stdout."""
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert err.endswith("\n")
    return err.rstrip("\n")


def test_help_is_quick_and_light() -> None:
    code = (
        "import sys; from steelyard.cli.main import run; rc = run(['--help']);"
        f"print([name for name in {HEAVY!r} if name in sys.modules], rc, file=sys.stderr)"
    )
    best = 9.0
    for _ in range(3):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        best = min(best, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
        assert done.stderr == "[] 0\n"
        assert all(name in done.stdout for name in COMMANDS)
    assert best < 0.25  # seconds of processor time: the clock on the wall also counts what else runs


@pytest.mark.parametrize("arguments", [["--help"], ["-h"], [], ["catalog"], *([name, "--help"] for name in COMMANDS)])
def test_help_starts_with_a_question_and_shows_an_example(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(arguments) == 0
    out, err = capsys.readouterr()
    assert err == ""
    usage, _, about = out.partition("\n\n")
    assert usage.startswith("Usage: steelyard")
    assert "?" in about.partition("\n\n")[0]
    assert "Example:\n    steelyard " in about


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--version"]) == 0
    assert capsys.readouterr().out == f"steelyard {__version__}\n"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["compar"], "unknown command 'compar' (nearest: compare); see `steelyard --help`"),
        (["xyz"], "unknown command 'xyz' ("),
        (["compare", "--jsno"], "no such option '--jsno' (nearest: --json"),
        (["--jsno"], "no such option '--jsno'"),
        (["catalog", "lsit"], "unknown command 'lsit' (nearest: list)"),
        (["catalog", "show"], "Missing argument"),
        (["compare", "a.yaml", "b.yaml"], "unexpected extra argument"),
        (["claims", "--markdown", "-o"], "requires an argument"),
    ],
)
def test_wrong_usage_is_one_line_and_exit_code_2(
    arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(arguments) == 2
    line = one_line(capsys)
    assert line.startswith("steelyard: error: ")
    assert words in line


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (SteelyardError, 1), (DoesNotFitError, 1), (InputError, 2), (UnknownError, 3), (OutsideProgramError, 4),
    ],
)  # fmt: skip
def test_each_kind_of_error_has_its_exit_code(
    error: type[SteelyardError], code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(main.steelyard, "main", _raising(error("first\nsecond \x1b[31m")))
    assert run([]) == code
    assert one_line(capsys) == "steelyard: error: first second  [31m"


def test_the_unexpected_is_one_line_that_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("STEELYARD_DEBUG", raising=False)
    monkeypatch.setattr(main.steelyard, "main", _raising(ZeroDivisionError("by zero")))
    assert run([]) == 1
    line = one_line(capsys)
    assert line.startswith("steelyard: internal error: ZeroDivisionError: by zero")
    assert "STEELYARD_DEBUG=1" in line
    monkeypatch.setenv("STEELYARD_DEBUG", "1")
    with pytest.raises(ZeroDivisionError):
        run([])


def test_an_interrupt_is_quiet(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(main.steelyard, "main", _raising(KeyboardInterrupt()))
    assert run([]) == 130
    assert "".join(capsys.readouterr()) == ""


def test_a_closed_pipe_is_quiet() -> None:
    command = f"{sys.executable} -m steelyard catalog list api_prices | head -1"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=True)
    assert done.stderr == ""
    assert done.stdout.count("\n") == 1


def test_a_terminal_of_few_letters_gets_question_marks() -> None:
    done = steelyard("catalog", "list", PYTHONIOENCODING="ascii")
    assert (done.returncode, done.stderr) == (0, "")


def _raising(error: BaseException) -> object:
    def main(*_arguments: object, **_options: object) -> None:
        raise error

    return main
