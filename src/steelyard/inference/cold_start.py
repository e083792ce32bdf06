"""How long a new replica takes from start to its first answer, from published measurements."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from steelyard import arch, catalog
from steelyard.records.estimate import Estimate, estimate
from steelyard.records.term import term
from steelyard.units import Array

_STORED_BYTES = 2.0  # per parameter: the checkpoints measured are in 16 bit
_LOADING = ("weight loading", "weight load", "load checkpoint to gpu", "weights")
_STARTING = {  # one list a measured start: stages that follow each other and do not grow with the weights
    "dynamo bytecode", "graph compilation", "cuda graph capture", "engine init and imports",
    "cuda context + graph capture", "kv warm-up",
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class ColdStart:
    """Seconds from the start of the engine's process to its first answer: the spread over measured starts."""

    total_s: Array = term("start of a replica", "s", "load_s + engine_s", parts=("load_s", "engine_s"))
    load_s: Array = term("weights into device memory", "s", "weight bytes / loading rate", "tables/cold_start.csv")
    engine_s: Array = term(
        "engine initialisation", "s", "imports, compilation, graph capture, warm-up", "tables/cold_start.csv"
    )

    @property
    def range_s(self) -> Estimate:
        return estimate(self.total_s)


def cold_start(model: arch.Model, *, weight_dtype: str | None = None) -> ColdStart:
    """Return the time from starting the engine to the first answer, over all pairs of measured rates and starts [s].

    t = weight bytes / loading rate + engine initialisation

    Args:
        model: Its weights are read from local storage.
        weight_dtype: As stored when None.

    Returns:
        `ColdStart` with arrays over (loading rates x measured initialisations); `.range_s` is p10, p50, p90.

    Assumes:
        The machine runs, the container image and the weights are on it. Getting them there takes minutes more.

    Source:
        Catalogue table `cold_start`.

    Example:
        >>> from steelyard import arch
        >>> small, large = (cold_start(arch.load(name)).range_s for name in ("llama-3.1-8b", "llama-3.1-70b"))
        >>> 5 < small.p50 < large.p50 < 600
        True
    """
    rates: list[float] = []
    starts: dict[tuple[str, str, str], float] = {}
    for row in catalog.table("cold_start").rows:
        stage, system = row["stage"].casefold(), (row["system"], row.get("model", ""), row.get("storage", ""))
        seconds, params = row.figure("seconds"), row.figure("params")
        if seconds is None or seconds.value <= 0:
            continue
        if stage in _LOADING and params is not None:
            rates.append(params.value * _STORED_BYTES / seconds.value)
        elif stage in _STARTING:
            starts[system] = starts.get(system, 0.0) + seconds.value
    load = arch.weight_bytes(model, weight_dtype) / np.array(rates)[:, None]
    engine = np.array(sorted(starts.values()))[None, :]
    return ColdStart(total_s=load + engine, load_s=load + 0.0 * engine, engine_s=engine + 0.0 * load)
