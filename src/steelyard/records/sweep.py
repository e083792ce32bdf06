"""Independent runs of one function: simulations of a sweep or a search, side by side."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

In = TypeVar("In")
Out = TypeVar("Out")


def swept(function: Callable[[In], Out], items: Iterable[In], *, processes: bool = False) -> list[Out]:
    """Return what a function makes of each item, in their order, by joblib.

    Threads of this process do it, one a core, unless the caller says otherwise by `joblib.parallel_config`: so many
    jobs, another backend (Ray's spreads them over a cluster), or one after the other (`backend="sequential"`). The
    answers are the same. One item alone does not import joblib.

    Args:
        function: Told nothing by the other runs; for a backend of processes it can be pickled, closures included.
        items: What it takes.
        processes: Whether processes of their own do it, where Python's lock would let one thread run at a time.

    Example:
        >>> swept(abs, [-2, 3])
        [2, 3]
    """
    listed = list(items)
    if len(listed) < 2:
        return [function(item) for item in listed]
    from joblib import Parallel, delayed
    from joblib.parallel import get_active_backend

    usual = "processes" if processes else "threads"
    _, jobs = get_active_backend(prefer=usual)
    runs = Parallel(n_jobs=-1 if jobs in {None, 1} else jobs, prefer=usual)
    return list(runs(delayed(function)(item) for item in listed))
