#!/usr/bin/env python3
"""The documentation as something that runs: its code blocks, their real output, and the generated parts.

`python docs/pages.py` writes what is generated: the page of the command line, the notes of the calibration files, and
the output shown below every command, every Python example and every cell of the notebooks. `tests/docs` fails when any
of it is out of date.

What runs on a page, from top to bottom, in an empty folder of its own:
- ```console: lines that start with `$ steelyard` (`> FILE` works) and `$ export NAME=VALUE`. The output shown must be
  the beginning of the real one. A command ends with exit code 0, or with the one named in a comment: `# exit code 3`.
- ```python: doctest examples, one namespace a page; `...` stands for anything.
- ```toml FILE, or another language and a file: written to that file, so that commands below can read it.
"""

from __future__ import annotations

import contextlib
import doctest
import io
import os
import re
import shlex
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from steelyard import catalog
from steelyard.cli.main import run

DOCS = Path(__file__).parent
CLI_PAGE = DOCS / "reference" / "cli.md"
ACCURACY_PAGE = DOCS / "reference" / "accuracy.md"
_FENCE = re.compile(r"^```(\w*) ?(\S*)$")
_NOTES = re.compile(r"(<!-- notes of (\w+)\.toml -->\n).*?(<!-- end -->\n)", re.DOTALL)
_ERRORS = re.compile(r"(<!-- errors of (\w+)\.toml -->\n).*?(<!-- end -->\n)", re.DOTALL)
_ERROR_ROW = re.compile(
    r"^  ([\w.-]+) +(\w+) +(\d+) +([\d.]+) +([\d.]+) +([+-][\d.]+) +([\d.]+) +([\d.]+) +([\d.-]+) +([\d.-]+)$"
)
_EXIT_CODE = re.compile(r"# exit code (\d)")
_CHECKER, _FLAGS = doctest.OutputChecker(), doctest.ELLIPSIS


@dataclass(frozen=True, kw_only=True)
class Block:
    """One fenced block: its language, the file it stands for, and its lines; `start` counts from 0."""

    language: str
    file: str
    start: int
    lines: tuple[str, ...]

    @property
    def text(self) -> str:
        return "".join(f"{line}\n" for line in self.lines)


@dataclass(frozen=True, kw_only=True)
class Difference:
    """Lines of a page, `first` up to and without `last`, that are not what really comes out."""

    first: int
    last: int
    shown: tuple[str, ...]
    real: tuple[str, ...]


def pages() -> list[Path]:
    """Return every page of the documentation."""
    return sorted(DOCS.rglob("*.md"))


def blocks(text: str) -> Iterator[Block]:
    """Yield the fenced blocks of a page."""
    opened: tuple[int, str, str] | None = None
    lines = text.splitlines()
    for number, line in enumerate(lines):
        fence = _FENCE.match(line)
        if opened is None and fence:
            opened = (number + 1, fence[1], fence[2])
        elif opened is not None and line == "```":
            start, language, file = opened
            yield Block(language=language, file=file, start=start, lines=tuple(lines[start:number]))
            opened = None


def run_page(text: str, folder: Path) -> Iterator[Difference]:
    """Run what runs on a page and yield where it shows something else than what comes out.

    Raises:
        AssertionError: A command ended with another exit code than the page says.
    """
    environment = {name: value for name, value in os.environ.items() if name != "STEELYARD_DATA"}
    environment |= {"COLUMNS": "120", "NO_COLOR": "1"}
    environment["XDG_DATA_HOME"] = str(folder / "data-home")  # not what was measured on this machine
    namespace: dict[str, Any] = {"__name__": "__page__"}
    with contextlib.chdir(folder):
        for block in blocks(text):
            if block.language == "console":
                yield from _console(block, environment)
            elif block.file:
                write_file(block, folder)
            elif block.language == "python":
                yield from _python(block, namespace)


def write_file(block: Block, folder: Path) -> None:
    """Write a block to the file it stands for."""
    path = folder / block.file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(block.text, encoding="utf-8")


def _console(block: Block, environment: dict[str, str]) -> Iterator[Difference]:
    starts = [number for number, line in enumerate(block.lines) if line.startswith("$ ")]
    for start, end in zip(starts, [*starts[1:], len(block.lines)], strict=True):
        command = block.lines[start][2:]
        words = shlex.split(command, comments=True)
        if words[0] == "export":
            name, _, value = words[1].partition("=")
            environment[name] = value
        if words[0] != "steelyard":
            continue
        output = _run(command, words, environment)
        shown = block.lines[start + 1 : end]
        whole = shown[-1:] != ("...",)
        expected = shown if whole else shown[:-1]
        real = tuple(line.rstrip() for line in output.splitlines()[: len(expected)])
        if expected != real:
            first = block.start + start + 1
            yield Difference(first=first, last=first + len(expected), shown=expected, real=real)


def _run(command: str, words: list[str], environment: dict[str, str]) -> str:
    """Return what a command prints; it runs in this process, which has read the libraries already."""
    target = None
    if ">" in words:
        words, target = words[: words.index(">")], words[-1]
    out, err = io.StringIO(), io.StringIO()
    with _in(environment), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = run(words[1:])
    stated = _EXIT_CODE.search(command)
    expected = int(stated[1]) if stated else 0
    assert code == expected, f"`{command}` ended with {code}: {err.getvalue().strip()}"
    if target:
        Path(target).write_text(out.getvalue(), encoding="utf-8")
        return ""
    return out.getvalue() or err.getvalue()


@contextlib.contextmanager
def _in(environment: dict[str, str]) -> Iterator[None]:
    """Make an environment that of this process for a while; files of data may have changed before and after."""
    kept = dict(os.environ)
    os.environ.clear()
    os.environ.update(environment)
    catalog.refresh()
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(kept)
        catalog.refresh()


def _python(block: Block, namespace: dict[str, Any]) -> Iterator[Difference]:
    examples = doctest.DocTestParser().get_examples(block.text)
    for example in examples:
        caught = io.StringIO()
        with contextlib.redirect_stdout(caught):
            exec(compile(example.source, f"<line {block.start + example.lineno}>", "single"), namespace)  # noqa: S102
        real = caught.getvalue()
        if not _CHECKER.check_output(example.want, real, _FLAGS):
            first = block.start + example.lineno + example.source.count("\n")
            shown = tuple(example.want.splitlines())
            yield Difference(first=first, last=first + len(shown), shown=shown, real=tuple(real.splitlines()))


def refreshed(text: str, folder: Path) -> str:
    """Return a page with the output that really comes out."""
    lines = text.splitlines()
    for found in reversed(list(run_page(text, folder))):
        lines[found.first : found.last] = found.real
    return "\n".join(lines) + "\n"


def cli_page() -> str:
    """Return the page of the command line: the help text of every command."""
    from steelyard.cli.main import steelyard

    parts = [
        "# Command line",
        "",
        "The help texts of all commands, written by `python docs/pages.py`; do not edit this page.",
        "",
        "| exit code | meaning |",
        "|---|---|",
        "| 0 | done |",
        "| 1 | it ran, and the answer is no: something does not fit, an objective is missed, the data are broken |",
        "| 2 | wrong usage or wrong input; one line on stderr says which field and what is allowed |",
        "| 3 | unknown or missing data; the line names the nearest known |",
        "| 4 | an outside program failed |",
        "",
        "Answers go to stdout, warnings and errors to stderr. `-o FILE` writes the whole file or nothing; its ending",
        "(`.json`, `.md`, `.html`) picks the format where no option does. Colour and boxes appear on a terminal only.",
    ]
    for name, text in _help_texts(steelyard, "steelyard", None):
        parts += ["", f"## {name}", "", "```text", *(line.rstrip() for line in text.splitlines()), "```"]
    return "\n".join(parts) + "\n"


def _help_texts(command: click.Command, name: str, parent: click.Context | None) -> Iterator[tuple[str, str]]:
    context = click.Context(
        command, info_name=name, parent=parent, terminal_width=100, max_content_width=100, **command.context_settings
    )
    yield context.command_path, command.get_help(context)
    if isinstance(command, click.Group):
        for child in command.list_commands(context):
            found = command.get_command(context, child)
            assert found is not None
            yield from _help_texts(found, child, context)


def with_notes(text: str) -> str:
    """Return a page with the opening comment of each calibration file, and its table of errors, between its markers."""
    text = _ERRORS.sub(lambda found: found[1] + errors_table(found[2]) + found[3], text)
    return _NOTES.sub(lambda found: found[1] + f"```text\n{calibration_note(found[2])}```\n" + found[3], text)


def errors_table(name: str) -> str:
    """Return the errors that open a calibration file as a Markdown table."""
    lines = [
        "| family of sources | metric | points | median | p90 | bias | 80% range holds | width | share | nearest |"
    ]
    lines.append("|---|---|---|---|---|---|---|---|---|---|")
    rows = (_ERROR_ROW.match(line) for line in calibration_note(name).splitlines())
    lines += [f"| {' | '.join(row.groups())} |" for row in rows if row]
    return "".join(f"{line}\n" for line in lines)


def calibration_note(name: str) -> str:
    """Return the comment that opens a calibration file: how it was fitted, and how far it misses."""
    import steelyard

    path = Path(steelyard.__file__).parent / "catalog" / "data" / "calibration" / f"{name}.toml"
    lines = path.read_text(encoding="utf-8").splitlines()
    comment = lines[: next(number for number, line in enumerate(lines) if not line.startswith("#"))]
    return "".join(f"{line[1:].removeprefix(' ')}\n" for line in comment)


def main() -> None:
    """Write everything that is generated."""
    import tempfile

    import notebooks  # beside this file

    CLI_PAGE.write_text(cli_page(), encoding="utf-8")
    notebooks.main()
    for page in pages():
        with tempfile.TemporaryDirectory() as folder:
            text = page.read_text(encoding="utf-8")
            new = refreshed(with_notes(text), Path(folder))
        if new != text:
            page.write_text(new, encoding="utf-8")
            print(f"changed: {page.relative_to(DOCS)}", file=sys.stderr)


if __name__ == "__main__":
    main()
