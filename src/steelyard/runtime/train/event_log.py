"""Events of a run as they come: JSON lines at the end of a file that outlives the process."""

from __future__ import annotations

import os
from pathlib import Path

from steelyard.errors import InputError, OutsideProgramError
from steelyard.records.training import Event, event_line, read_events

EVENTS = "events.jsonl"


def read_log(path: Path) -> list[Event]:
    """Return the events of a run, by its folder or the file itself; none where it has not begun.

    Raises:
        InputError: The file cannot be read, or a line of it is no event.
    """
    if path.is_dir():
        path = path / EVENTS
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            return list(read_events(file))
    except FileNotFoundError:
        return []
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}") from None
    except ValueError as error:
        raise InputError(f"{path}: {error}") from None


class EventLog:
    """The end of the file: a line is written whole by one call, and a half-written one of a killed process dropped."""

    def __init__(self, path: Path) -> None:
        """Open the file to append.

        Raises:
            OutsideProgramError: It cannot be written.
        """
        self.path = path
        try:
            self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
            size = os.fstat(self._file).st_size
            tail = os.pread(self._file, 1 << 16, max(0, size - (1 << 16)))
            os.ftruncate(self._file, size - (len(tail) - (tail.rfind(b"\n") + 1)))
        except OSError as error:
            raise self._failure(error) from None

    def write(self, event: Event) -> None:
        """Append one event.

        Raises:
            OutsideProgramError: The disk refused.
        """
        line = event_line(event).encode()
        try:
            written = os.write(self._file, line)
            if written != len(line):  # the disk is full: the rest would be refused
                written += os.write(self._file, line[written:])
        except OSError as error:
            raise self._failure(error) from None

    def close(self) -> None:
        os.close(self._file)

    def _failure(self, error: OSError) -> OutsideProgramError:
        return OutsideProgramError(
            f"{self.path} cannot be written: {error.strerror or error}; "
            "the same command resumes from the last checkpoint"
        )
