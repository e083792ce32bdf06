"""What a disk refuses, told alike whichever library met it."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def refusals_as_os_errors() -> Iterator[None]:
    """Raise the OSError that a library written in Rust wraps in an exception of its own.

    Example:
        >>> with refusals_as_os_errors():
        ...     raise Exception("No space left on device (os error 28)")
        Traceback (most recent call last):
        OSError: [Errno 28] No space left on device
    """
    try:
        yield
    except OSError:
        raise
    except Exception as error:
        number = re.search(r"\(os error (\d+)\)|\bcode: (\d+), kind:", str(error))
        if number is None:
            raise
        code = int(number[1] or number[2])
        raise OSError(code, os.strerror(code)) from error
