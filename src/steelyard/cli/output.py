"""Where answers, warnings and files go: shared by all commands."""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
import sys
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import click

from steelyard.errors import InputError

FORMATS = {".json": "json", ".md": "markdown", ".html": "html", ".htm": "html"}  # by the end of -o FILE

output_option = click.option(
    "-o", "--output", type=click.Path(path_type=Path), metavar="FILE", help="Write to FILE instead of stdout."
)


F = TypeVar("F", bound=Callable[..., Any])
_FORM_OPTIONS = (
    click.option("--json", "form", flag_value="json", help="One JSON document: inputs, result, breakdown, sources."),
    click.option("--markdown", "form", flag_value="markdown", help="The same tables in Markdown."),
    click.option("--html", "form", flag_value="html", help="One HTML file with plots, for offline; stdout unless -o."),
    output_option,
)


def form_options(function: F) -> F:
    """Add the options of a command whose answer has every form: `--json`, `--markdown`, `--html`, `-o FILE`."""
    for option in reversed(_FORM_OPTIONS):
        function = option(function)
    return function


def form_of(form: str | None, output: Path | None, *, explain: bool = False) -> str | None:
    """Return the form asked for by an option or by the end of `-o FILE`; None for text."""
    if form is not None and explain:
        raise click.UsageError(f"--{form} and --explain exclude each other; --json and --html have the trees too")
    return form or (None if output is None or explain else FORMATS.get(output.suffix.lower()))


def complain(kind: str, message: str) -> None:
    """Print one line on stderr, whatever the message holds."""
    shown = "".join(letter if letter.isprintable() else " " for letter in message)
    with contextlib.suppress(OSError, ValueError):  # a closed stderr
        print(f"steelyard: {kind}: {shown}", file=sys.stderr)


def warn(messages: Iterable[str]) -> None:
    """Print warnings on stderr, each on a line of its own."""
    for message in messages:
        complain("warning", message)


def quiet_python_warnings() -> None:
    """Show a library's warning as one line like our own, instead of a line of its source."""
    warnings.showwarning = lambda message, *_args, **_kwargs: complain("warning", str(message))


def screen() -> tuple[int | None, bool]:
    """Return the width of the terminal that stdout is (None when it is none) and whether to use colour."""
    if not sys.stdout.isatty():
        return None, False
    return shutil.get_terminal_size().columns, "NO_COLOR" not in os.environ and os.environ.get("TERM") != "dumb"


@contextlib.contextmanager
def progress_line(text: str) -> Iterator[Callable[[int, int], None] | None]:
    """Yield a callback that shows two counts on one line of a terminal's stderr, a few times a second; None off one.

    `text` follows the first count and holds `{}` for the second.
    """
    if not sys.stderr.isatty():
        yield None
        return
    next_s = 0.0

    def show(first: int, second: int) -> None:
        nonlocal next_s
        if (now := time.monotonic()) >= next_s:
            next_s = now + 0.2
            print(f"\r{first:,} {text.format(f'{second:,}')}\033[K", end="", file=sys.stderr, flush=True)

    try:
        yield show
    finally:
        print("\r\033[K", end="", file=sys.stderr, flush=True)


def deliver(text: str, output: Path | None) -> None:
    """Print an answer, or write it to a file: the whole of it or nothing.

    Raises:
        InputError: The file cannot be written.
    """
    if output is None:
        click.echo(text, nl=not text.endswith("\n"))
        return
    try:
        write_atomically(output, text if text.endswith("\n") else text + "\n")
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise InputError(
            f"-o {output}: cannot be written: {reason}; give a file in a folder you can write to"
        ) from None


def make_folder(folder: Path, next_step: str) -> None:
    """Make a folder and those above it, where they are not there.

    Raises:
        InputError: It cannot be made; with the next step.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{folder}: cannot be made: {error.strerror or error}; {next_step}") from None


def write_atomically(path: Path, text: str) -> None:
    """Write a file under another name beside it, then rename: readers see the old one or all of the new."""
    target = Path(os.path.realpath(path))
    if target.is_dir():
        raise IsADirectoryError(None, "is a folder")
    content = text.encode("utf-8", errors="replace")
    if target.exists() and not stat.S_ISREG(target.stat().st_mode):  # a pipe or device is written, not replaced
        target.write_bytes(content)
        return
    if target.exists() and not os.access(target, os.W_OK):
        raise PermissionError(None, "is write-protected")
    draft = target.with_name(f".{target.name[:200]}.{os.getpid()}.part")
    try:
        with draft.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        if target.exists():
            draft.chmod(stat.S_IMODE(target.stat().st_mode))
        draft.replace(target)
    finally:
        draft.unlink(missing_ok=True)
