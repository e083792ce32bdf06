"""What a run needs from above: its callbacks. This room knows no prices and no tasks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from steelyard.records.training import Event
from steelyard.runtime.train.shards import Sequences

LogLikelihoods: TypeAlias = Callable[[npt.NDArray[np.int64]], npt.NDArray[np.float64]]
"""Rows of tokens [rows, length] to the log-likelihood of each token after the first [rows, length - 1], in nats."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Watch:
    """Who looks on.

    `on_event` hears every event as it happens; `cost_usd` turns device-seconds into money; `judge` gives the share of
    right answers by task, from the model and the held-out sequences, when the run ends; `examine` gives more of them,
    from the Hugging Face directory just written, in the first process only; `stop_asked` is asked before every step
    whether to end, as a signal would.
    """

    on_event: Callable[[Event], None] | None = None
    cost_usd: Callable[[float], float | None] | None = None
    judge: Callable[[LogLikelihoods, Sequences], Mapping[str, float]] | None = None
    examine: Callable[[Path], Mapping[str, float]] | None = None
    stop_asked: Callable[[], bool] | None = None
