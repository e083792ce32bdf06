"""How the event loop is compiled: inner functions into the few that Python calls, which are kept on disk."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from numba import config, njit

from steelyard.records.user_cache import user_cache

# Nothing is allocated in the loop: no reference counting. Nobody but the loop calls inner functions: no wrappers.
_PLAIN: dict[str, Any] = {"error_model": "numpy", "_nrt": False, "nogil": True}
_INNER: dict[str, Any] = _PLAIN | {"no_cpython_wrapper": True, "no_cfunc_wrapper": True}
inner: Any = njit(**_INNER, forceinline=True)  # the state has many arrays: passing them costs more than the work
rare: Any = njit(**_INNER)  # what most requests never meet is compiled once, not at every place


def outer(function: Callable[..., Any]) -> Any:
    """Compile a function that Python calls, and keep the result.

    Numba's cache looks at the one file that holds the function; the folder's name stands for all of them.
    """
    settings: Any = config
    kept = settings.CACHE_DIR
    settings.CACHE_DIR = kept or str(cache_folder())
    try:
        return njit(cache=True, **_PLAIN)(function)
    except (RuntimeError, OSError):  # nowhere to write: compiled anew in each process
        return njit(**_PLAIN)(function)
    finally:
        settings.CACHE_DIR = kept


def cache_folder() -> Path:
    """Return where compiled code is kept: in the user's cache, by the text of this folder's files."""
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(path.read_bytes())
    return user_cache() / digest.hexdigest()[:16]
