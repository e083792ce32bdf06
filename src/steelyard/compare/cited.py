"""What is read off trees of terms and the records that they explain."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from steelyard import catalog
from steelyard.records.term import Term


def cited(trees: Iterable[Term], more: Iterable[str] = ()) -> tuple[str, ...]:
    """Return the ids of the catalogue sources that trees of terms name, sorted."""
    texts = [node.source.split(" (")[0] for tree in trees for node in tree.walk() if node.source]
    return tuple(sorted({found for found in single([*texts, *more]) if found in catalog.sources()}))


def single(sources: Iterable[str]) -> list[str]:
    """Return the ids of sources one by one, where a figure has several ("a + b").

    Example:
        >>> single(["a + b", "c"])
        ['a', 'b', 'c']
    """
    return [part.strip() for source in sources for part in source.split(" + ")]


def term_names(record: Any) -> list[str]:
    """Return the names of the fields of a record that are terms with one number."""
    fields = type(record).__dataclass_fields__.values()
    return [item.name for item in fields if "term" in item.metadata and np.size(getattr(record, item.name)) == 1]
