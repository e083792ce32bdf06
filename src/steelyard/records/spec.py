"""The base of every part of a document that a user writes, and the plain words of its errors."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ConfigDict, model_validator
from pydantic_core import PydanticCustomError

from steelyard.errors import nearest


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong with one field: its path in the file, and the rest of the line."""

    path: tuple[str | int, ...]
    text: str


def shown(value: object) -> str:
    """Return a user's value as one short printable phrase."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Mapping):
        return "a mapping"
    if isinstance(value, (list, tuple)):
        return "a list"
    if isinstance(value, str):
        text = repr(value[:80])
    elif isinstance(value, int) and abs(value) > 1e300:
        text = "a huge number"
    elif isinstance(value, (int, float)):
        text = f"{value:g}"
    else:
        text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def listed(names: Iterable[str], *, limit: int = 12) -> str:
    """Return names separated by commas, as many as a line takes."""
    options = list(names)
    return ", ".join(options[:limit]) + (", ..." if len(options) > limit else "")


def at_key(key: str, problem: str) -> PydanticCustomError:
    """Return an error about one key of a mapping: whoever prints it adds the key to the path."""
    return PydanticCustomError("at_key", "{problem}", {"key": key, "problem": problem})


def no_such_key(key: str, keys: Iterable[str]) -> PydanticCustomError:
    """Return the error for a key that does not exist here, with the nearest one that does."""
    known = list(keys)
    close = nearest(key, known, limit=1)
    return at_key(key, f"no such field; allowed: {listed(known)}" + (f"; nearest: {close[0]}" if close else ""))


class Spec(BaseModel):
    """A part of a document: frozen, a mapping in YAML; a wrong key names the nearest right one."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    @classmethod
    def keys(cls) -> list[str]:
        """Return the keys this part has in YAML."""
        return [field.alias or name for name, field in cls.model_fields.items() if not field.exclude]

    @model_validator(mode="before")
    @classmethod
    def _known_keys(cls, data: Any) -> Any:
        if isinstance(data, cls):
            return data
        if not isinstance(data, Mapping):
            raise ValueError(f"{shown(data)} stands where fields belong; allowed: {listed(cls.keys())}")  # noqa: TRY004
        known = cls.keys()
        for key in data:
            if key not in known:
                raise no_such_key(str(key), known)
        return data
