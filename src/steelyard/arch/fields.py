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
    "n_embed": "hidden_size",
    "n_head": "num_attention_heads",
    "n_layer": "num_hidden_layers",
    "n_positions": "max_position_embeddings",
    "n_inner": "intermediate_size",
    "d_model": "hidden_size",
    "n_heads": "num_attention_heads",
    "n_layers": "num_hidden_layers",
    "max_seq_len": "max_position_embeddings",
    "num_heads": "num_attention_heads",
    "num_layers": "num_hidden_layers",
    "n_head_kv": "num_kv_heads",
    "seq_length": "max_position_embeddings",
    "model_max_length": "max_position_embeddings",
}
"""What the GPT family and others call the usual keys."""


SYNONYMS = (
    {"num_experts", "num_local_experts", "n_routed_experts", "moe_num_experts"},
    {"num_experts_per_tok", "num_experts_per_token", "experts_per_token", "moe_topk", "moe_top_k", "moe_k"},
    {"n_shared_experts", "num_shared_experts", "moe_num_shared_experts"},
    {"num_nextn_predict_layers", "num_mtp_layers", "num_mtp_modules", "mtp_num_hidden_layers"},
)
"""Keys that mean the same: files may state several, with one value."""


class Fields:
    """The keys of a configuration: each is checked when read, and what nobody read can be refused."""

    def __init__(self, values: Mapping[str, Any], where: str) -> None:
        named = {key: USUAL_NAMES.get(key, key) for key in values}
        doubled = {key for key, usual in named.items() if usual != key and usual in values}
        named = {key: key if key in doubled else usual for key, usual in named.items()}
        named = {
            key: usual for key, usual in named.items() if key not in doubled or values[key] != values[USUAL_NAMES[key]]
        }
        self.values = {usual: values[key] for key, usual in named.items()}
        self.where = where
        self._stated = {usual: str(key) for key, usual in named.items()}
        self._read: set[str] = set()
        self._ignored: set[str] = set()

    def refuse(self, key: str, allowed: str) -> NoReturn:
        """Raise the one-line error for a wrong field."""
        if key not in self.values:
            raise InputError(f"{self.where}: {key} is missing; it should be {allowed}")
        stated = self._stated.get(key, key)
        raise InputError(f"{self.where}: {stated} is {shorten(self.values[key])}; allowed: {allowed}")

    def has(self, key: str) -> bool:
        """Return whether a key is stated (null counts as not stated)."""
        self._read.add(key)
        return self.values.get(key) is not None

    def was_read(self, key: str) -> bool:
        """Return whether a reader asked for a key."""
        return key in self._read

    def stated(self, *keys: str) -> str:
        """Return the first of several names of one key that the configuration uses (the first name where none is)."""
        return next((key for key in keys if self.has(key)), keys[0])

    def count(self, key: str, limit: str, *, default: int | None = None, minimum: int = 1) -> int:
        """Return a whole number from `minimum` to the limit of that name."""
        if not self.has(key) and default is not None:
            return default
        value = self.values.get(key)
        if isinstance(value, bool) or not isinstance(value, int) or not minimum <= value <= LIMITS[limit]:
            self.refuse(key, f"a whole number from {minimum} to {LIMITS[limit]:,}")
        return value

    def first_count(self, key: str, limit: str, *, default: int | None = None) -> int:
        """Return a whole number that may be stated once for all layers or as a list, the same for each."""
        value = self.values.get(key)
        if isinstance(value, list):
            numbers = self.numbers(key)
            if len(set(numbers)) != 1 or not 1 <= numbers[0] <= LIMITS[limit]:
                self.refuse(key, "one whole number, the same for all layers")
            return numbers[0]
        return self.count(key, limit, default=default)

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

    def part(self, key: str) -> Fields:
        """Return the keys of a nested mapping (none when it is not stated); they are not checked for leftovers."""
        value = self.values[key] if self.has(key) else {}
        if not isinstance(value, Mapping):
            self.refuse(key, "a mapping")
        return Fields(value, f"{self.where}: {key}")

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
        self._ignored.update(keys)

    def finish(self, ignored: Iterable[str], ignored_endings: tuple[str, ...]) -> tuple[str, ...]:
        """Return the stated keys that do not matter; refuse one that nobody read and that is not known to be harmless.

        A key that is null, false, zero or empty switches nothing on.
        """
        harmless = set(ignored) | self._ignored
        for group in SYNONYMS:
            read = [self.values.get(key) for key in group & self._read]
            harmless |= {key for key in group if self.values.get(key) in read}
        unread = {key: value for key, value in self.values.items() if key not in self._read}
        for key, value in unread.items():
            if key in harmless or not value or str(key).startswith("_") or str(key).endswith(ignored_endings):
                continue
            kind = self.values.get("model_type")
            raise InputError(
                f"{self.where}: {str(key)[:80]} ({shorten(value)}) is not known for a {kind!r} model; its time and"
                " memory would be guessed (remove the field if it changes neither)"
            )
        return tuple(sorted(self._stated.get(key, key) for key in unread))


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
