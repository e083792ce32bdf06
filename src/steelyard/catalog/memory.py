"""Answers read off the catalogue are kept until its folders change."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

from steelyard.catalog.files import overlay

P = ParamSpec("P")
R = TypeVar("R")
_KEPT: list[Callable[[], None]] = []


def remembered(function: Callable[P, R]) -> Callable[P, R]:
    """Decorate a function of the catalogue and of hashable arguments, so that it reads its tables once.

    What it returns is shared by all who ask: it must not be changed. What it raises is not kept.
    """

    @functools.lru_cache(maxsize=1024)
    def kept(_folders: str, *args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs)

    @functools.wraps(function)
    def asked(*args: P.args, **kwargs: P.kwargs) -> R:
        answer: R = kept(overlay(), *args, **kwargs)  # type: ignore[arg-type] # hashable, as asked for above
        return answer

    _KEPT.append(kept.cache_clear)
    return asked


def forget() -> None:
    """Forget all answers, so that files that changed meanwhile count."""
    for clear in _KEPT:
        clear()
