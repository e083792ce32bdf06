"""What a reader of a prediction must know of the engine it is for."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from steelyard.inference.engine import Engine
from steelyard.inference.residuals import is_fitted, unseen_engine_sigma
from steelyard.records.estimate import Z90


def engine_notes(engine: Engine) -> tuple[str, ...]:
    """Return, a line each: what runs inside, whether it was ever measured, and what is unusual in how it runs.

    Example:
        >>> from steelyard import device
        >>> from steelyard.inference import engine_for
        >>> print(engine_notes(engine_for(device.load("h100"), "triton"))[0])
        engine: triton runs tensorrt-llm inside: its fitted figures, and its rules where triton states none
    """
    return tuple(f"engine: {note}" for note in _notes(engine))


def _notes(engine: Engine) -> Iterator[str]:
    name, kernels = engine.name, engine.kernels
    if name != kernels:
        whose = "its fitted figures, and " if is_fitted(kernels) else ""
        yield f"{name} runs {kernels} inside: {whose}its rules where {name} states none"
        if engine.note:
            yield f"{name}: {engine.note}"
    if not is_fitted(kernels):
        wider = math.exp(Z90 * unseen_engine_sigma())
        yield (
            f"no figure was fitted to {kernels}: its overheads are those of other engines, and what its steps take may "
            f"be off by a factor of {wider:.2g} more than theirs"
        )
    if engine.is_static:
        yield (
            f"{name} runs batches that start and end together: nobody joins a running batch, and all wait for its "
            "longest answer"
        )
    if np.max(engine.eager_steps) > 0:
        yield f"{name} launches the kernels of every step one by one: small batches wait for the processor"
