"""What looks on while a model is trained: the callbacks that `runtime.train` takes from above."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from steelyard.measure.cloze import cloze_accuracy
from steelyard.records.training import Event
from steelyard.runtime.harness import Tasks
from steelyard.runtime.train import Watch


def watch_training(
    *,
    on_event: Callable[[Event], None] | None = None,
    cost_usd: Callable[[float], float | None] | None = None,
    questions: int = 200,
    tasks: Tasks | None = None,
    device: str = "auto",
) -> Watch:
    """Return a watch that asks the trained model the cloze task of its held-out text, and other downstream tasks.

    Args:
        on_event: Hears every event.
        cost_usd: Device-seconds to money, None where there is no price.
        questions: Of the cloze task at the end; 0 leaves it out.
        tasks: Of lm-evaluation-harness, asked at the end.
        device: Where the model answers those.
    """
    examine = None if tasks is None else partial(tasks.accuracy, device=device)
    judge = partial(cloze_accuracy, questions=questions)
    return Watch(on_event=on_event, cost_usd=cost_usd, judge=judge, examine=examine)
