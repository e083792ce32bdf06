"""Scenario documents with fields changed."""

from __future__ import annotations

from typing import Any


def change(data: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """Change fields in place, named by their path with double underscores (demand__growth); None takes one away."""
    for path, value in changes.items():
        *parents, last = path.split("__")
        target = data
        for key in parents:
            target = target.setdefault(key, {})
        if value is None:
            target.pop(last, None)
        else:
            target[last] = value
    return data
