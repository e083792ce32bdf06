"""Predictions beside what a command has measured."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from steelyard.compare.measured import Row
    from steelyard.measure.training import TrainingMeasures
    from steelyard.records.training import Event


def training_beside(run: Path, events: Sequence[Event], measured: TrainingMeasures, on: str | None) -> tuple[Row, ...]:
    """Return a run beside its prediction; nothing where its folder holds no model, or this machine is not measured.

    Args:
        run: Folder of a `steelyard train` that has ended.
        events: Of the run.
        measured: What they say.
        on: Device asked for; this machine when None.
    """
    from steelyard import arch
    from steelyard.compare.measured import training_rows
    from steelyard.records.training import Started
    from steelyard.runtime.train.prepare import MODEL

    starts = [event for event in events if isinstance(event, Started)]
    model = run.joinpath(MODEL)
    if not model.joinpath("config.json").is_file() or not starts:
        return ()
    return training_rows(arch.load(model), starts[-1], measured, on=on)
