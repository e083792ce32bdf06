"""Which sources a price came from."""

from __future__ import annotations

from collections.abc import Iterable


def source_ids(sources: Iterable[str]) -> tuple[str, ...]:
    """Return the distinct ids in sources as the catalogue joins them ("a + b").

    Example:
        >>> source_ids(["a + b", "b"])
        ('a', 'b')
    """
    return tuple(sorted({part.strip() for source in sources for part in source.split(" + ") if part.strip()}))
