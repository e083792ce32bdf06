"""How the engine behind a published row was started, as published/launches.csv says of a harness's scripts."""

from __future__ import annotations

import functools
from dataclasses import dataclass

from steelyard import catalog
from steelyard.validation.points import Row

_SETTINGS = ("chunk_tokens", "max_sequences", "memory_ratio", "receive_steps", "hold_steps")


@dataclass(frozen=True, slots=True, kw_only=True)
class Launch:
    """Settings of an engine; 0 and "" where they are not known, and the engine's defaults hold."""

    chunk_tokens: float = 0.0
    max_sequences: float = 0.0
    memory_ratio: float = 0.0  # the share of the memory that the engine is told to take
    kv_dtype: str = ""
    receive_steps: float = 0.0  # decoding steps between two looks for new requests
    hold_steps: float = 0.0  # steps that a prompt is held back for others to join it
    eager: bool = False  # no step runs in a captured graph
    overlaps: bool = False  # the next step is scheduled while one runs


def launch_of(row: Row, *, engine: str, model_id: str, device_id: str, weights: str, tp: int, load: float) -> Launch:
    """Return the settings of a row's engine: of all entries that fit, the last one that states a setting.

    Example:
        >>> asked = dict(engine="vllm", model_id="", device_id="", weights="", tp=1, load=1.0)
        >>> launch_of({"source": "my own", "notes": "", "harness": ""}, **asked) == Launch()
        True
    """
    asked = {
        "engine": engine,
        "model_id": model_id,
        "weights": weights,
        "isl": row.get("isl", ""),
        "osl": row.get("osl", ""),
        "tp": str(tp),
    }
    found: dict[str, str] = {}
    for entry in _entries(row.get("harness", "")):
        fits = (entry["words"] in row["source"] or entry["words"] in row["notes"]) and load >= float(
            entry["load_from"] or 0.0
        )
        fits = fits and all(not entry[name] or value in entry[name].split(";") for name, value in asked.items())
        if fits and (not entry["device"] or any(device_id.startswith(word) for word in entry["device"].split(";"))):
            found |= {name: entry[name] for name in (*_SETTINGS, "kv_dtype", "eager", "overlaps") if entry[name]}
    numbers = {name: float(found[name]) for name in _SETTINGS if name in found}
    eager, overlaps = (found.get(name) == "yes" for name in ("eager", "overlaps"))
    return Launch(kv_dtype=found.get("kv_dtype", ""), eager=eager, overlaps=overlaps, **numbers)


@functools.lru_cache(maxsize=64)
def _entries(harness: str) -> tuple[Row, ...]:
    return tuple(entry for entry in catalog.published("launches").rows if entry["harness"] == harness)
