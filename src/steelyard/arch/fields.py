"""The keys of a configuration, each checked when it is read."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any, NoReturn

from steelyard.errors import InputError

LIMITS = {
    "layers": 10_000,
    "hidden": 2**20,
    "width": 2**24,
    "heads": 2**16,
    "head_dim": 2**16,
    "experts": 2**16,
    "vocab": 2**26,
    "tokens": 2**34,
}
"""Sizes beyond any model: what exceeds them is a slip of the pen."""

USUAL_NAMES = {
    "n_embd": "hidden_size",
    "n_head": "num_attention_heads",
    "n_layer": "num_hidden_layers",
    "n_positions": "max_position_embeddings",
    "n_inner": "intermediate_size",
}
"""What the GPT family calls the usual keys."""


class Fields:
    """The keys of a configuration: each is checked when read, and what nobody read can be refused."""

    def __init__(self, values: Mapping[str, Any], where: str) -> None:
        self.values = {USUAL_NAMES.get(key, key): value for key, value in values.items()}
        self.where = where
        self._stated = {USUAL_NAMES.get(key, key): str(key) for key in values}
        self._read: set[str] = set()

    def refuse(self, key: str, allowed: str) -> NoReturn:
        """Raise the one-line error for a wrong field."""
        if key not in self.values:
            raise InputError(f"{self.where}: {key} is missing; it should be {allowed}")
        stated = self._stated[key]
        raise InputError(f"{self.where}: {stated} is {shorten(self.values[key])}; allowed: {allowed}")

    def has(self, key: str) -> bool:
        """Return whether a key is stated (null counts as not stated)."""
        self._read.add(key)
        return self.values.get(key) is not None

    def count(self, key: str, limit: str, *, default: int | None = None, minimum: int = 1) -> int:
        """Return a whole number from `minimum` to the limit of that name."""
        if not self.has(key) and default is not None:
            return default
        value = self.values.get(key)
        if isinstance(value, bool) or not isinstance(value, int) or not minimum <= value <= LIMITS[limit]:
            self.refuse(key, f"a whole number from {minimum} to {LIMITS[limit]:,}")
        return value

    def flag(self, key: str, *, default: bool = False) -> bool:
        """Return a true or false."""
        if not self.has(key):
            return default
        value = self.values[key]
        if not isinstance(value, bool):
            self.refuse(key, "true or false")
        return value

    def choice(self, key: str, known: Iterable[str], *, default: str | None = None) -> str:
        """Return one of the known words."""
        if not self.has(key) and default is not None:
            return default
        known = sorted(known)
        value = self.values.get(key)
        if not isinstance(value, str) or value not in known:
            self.refuse(key, "one of " + ", ".join(known))
        return value

    def numbers(self, key: str) -> list[int]:
        """Return a list of whole numbers, empty when it is not stated."""
        value = self.values[key] if self.has(key) else []
        if not isinstance(value, list) or not all(isinstance(one, int) for one in value):
            self.refuse(key, "a list of whole numbers")
        return value

    def words(self, key: str, known: Iterable[str], length: int) -> list[str] | None:
        """Return a list of known words, one per layer, or None when it is not stated."""
        if not self.has(key):
            return None
        value, known = self.values[key], sorted(known)
        if not isinstance(value, list) or len(value) != length or any(word not in known for word in value):
            self.refuse(key, f"a list of {length}, one per layer, of " + ", ".join(known))
        return value

    def ignore(self, *keys: str) -> None:
        """Take keys as read: they do not matter for time or memory here."""
        self._read.update(keys)

    def finish(self, ignored: Iterable[str], ignored_endings: tuple[str, ...]) -> None:
        """Refuse a key that nobody read and that is not known to be harmless.

        A key that is null, false, zero or empty switches nothing on.
        """
        harmless = set(ignored) | self._read
        for key, value in self.values.items():
            if key in harmless or not value or str(key).startswith("_") or str(key).endswith(ignored_endings):
                continue
            kind = self.values.get("model_type")
            raise InputError(
                f"{self.where}: {str(key)[:80]} ({shorten(value)}) is not known for a {kind!r} model; its time and"
                " memory would be guessed (remove the field if it changes neither)"
            )


def shorten(value: Any) -> str:
    """Return a value as a short text for an error line."""
    if isinstance(value, (dict, list)):
        return f"a {'list' if isinstance(value, list) else 'mapping'} of {len(value)}"
    if isinstance(value, float) and not math.isfinite(value):
        return "not a finite number"
    if isinstance(value, int) and abs(value) > 10**15:
        return "a number with more than 15 digits"
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
