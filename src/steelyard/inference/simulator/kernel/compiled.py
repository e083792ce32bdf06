"""How the event loop is compiled: inner functions into the few that Python calls, which are kept on disk."""

from __future__ import annotations

from typing import Any

from numba import njit

# Nothing is allocated in the loop: no reference counting. Nobody but the loop calls inner functions: no wrappers.
_PLAIN: dict[str, Any] = {"error_model": "numpy", "_nrt": False}
_INNER: dict[str, Any] = _PLAIN | {"no_cpython_wrapper": True, "no_cfunc_wrapper": True}
outer: Any = njit(cache=True, **_PLAIN)
inner: Any = njit(**_INNER)
