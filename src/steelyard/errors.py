"""The errors a user can meet; each is one clear line and an exit code.

SteelyardError            1  it ran, and the answer is no
  DoesNotFitError         1  a model does not fit the devices asked for
  InputError              2  wrong usage or input: file, field, what is allowed, the next step
  UnknownError            3  a device, model, price or factor that the catalogue does not hold
  CatalogError            2  a data file, the user's own too, that cannot be read or breaks its schema
  OutsideProgramError     4  an outside program failed
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable


class SteelyardError(Exception):
    """Base of all errors that are shown to the user as one line."""

    exit_code = 1


class DoesNotFitError(SteelyardError):
    """What was asked for does not fit, or misses its objective."""


class InputError(SteelyardError):
    """The user's input is wrong."""

    exit_code = 2


class UnknownError(SteelyardError):
    """Something the user named is not in the catalogue."""

    exit_code = 3


class CatalogError(SteelyardError):
    """A data file cannot be read or breaks its schema; the message names file and field. No answer holds beside it."""

    exit_code = 2


class OutsideProgramError(SteelyardError):
    """A program that steelyard started, or talks to, failed."""

    exit_code = 4


def first_line(error: BaseException) -> str:
    """Return what another library's error says, as part of one line: its first words, or its class where it has none.

    Example:
        >>> first_line(ValueError("no such file\\nand much more")), first_line(KeyError())
        ('no such file', 'KeyError')
    """
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0][:200] if lines else type(error).__name__


def nearest(name: str, known: Iterable[str], *, limit: int = 3, key: Callable[[str], str] = str.casefold) -> list[str]:
    """Return up to `limit` known names most like `name`, best first (empty when nothing is close).

    Args:
        name: What was asked for.
        known: What there is.
        limit: The most names to return.
        key: What of a name is compared; of known names with one key the shortest stands for all.

    Example:
        >>> nearest("h100-smx", ["h100-sxm", "a100-sxm", "mi300x"])
        ['h100-sxm', 'a100-sxm']
    """
    folded = {key(option): option for option in sorted(known, key=lambda option: (-len(option), option))}
    hits = difflib.get_close_matches(key(name)[:200], list(folded), n=limit, cutoff=0.5)
    return [folded[hit] for hit in hits]


def unknown(
    what: str, name: str, known: Iterable[str], *, next_step: str = "", key: Callable[[str], str] = str.casefold
) -> str:
    """Return the one-line text for an unknown name: what it is, the nearest known ones (by `key`), the next step."""
    options = sorted(known)
    shown = name if len(name) <= 80 else name[:77] + "..."  # a name can be a whole file by mistake
    close = nearest(shown, options, key=key)
    if close:
        hint = "nearest: " + ", ".join(close)
    elif len(options) <= 12:
        hint = "known: " + ", ".join(options)
    else:
        hint = f"{len(options)} are known"
    return f"unknown {what} {shown!r} ({hint})" + (f"; {next_step}" if next_step else "")
