"""How a training run goes, live, on a terminal."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

from steelyard.cli.run_options import Economy
from steelyard.records.training import Evaluated, Event, Started, Stepped
from steelyard.report.training import done_of, live_line
from steelyard.runtime.train import TrainJob


class Progress:
    """One line on stderr: step, loss, held-out loss, speed, MFU, memory, cost so far, time left."""

    def __init__(
        self, job: TrainJob, economy: Economy, *, shown: bool, tell: Callable[[str], None] | None = None
    ) -> None:
        """Take what is trained, what it costs, and who is told in a line that a run goes on; no bar unless `shown`."""
        self.job, self.economy, self.shown, self.tell = job, economy, shown, tell
        self.start: Started | None = None
        self.held_out_nats: float | None = None
        self.peak_flop_per_s: float | None = None
        self.bar: Any = None
        self.task: Any = None

    def __enter__(self) -> Self:
        if self.shown:
            from rich.console import Console
            from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
            from rich.progress import Progress as Bar

            self.bar = Bar(
                TextColumn("{task.description}"), BarColumn(bar_width=20), TimeRemainingColumn(),
                console=Console(stderr=True), transient=True,
            )  # fmt: skip
            self.task = self.bar.add_task("preparing text and tokenizer", total=None)
            self.bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.bar is not None:
            self.bar.stop()

    def __call__(self, event: Event) -> None:
        """Show an event."""
        if isinstance(event, Started) and event.step and self.tell is not None:
            self.tell(f"going on from step {event.step:,}, {event.tokens:,} tokens")
        if self.bar is None:
            return
        if isinstance(event, Started):
            self.start = event
            self.peak_flop_per_s = self.economy.peak_flop_per_s([event])
        elif isinstance(event, Evaluated):
            self.held_out_nats = event.held_out_loss_nats
        elif isinstance(event, Stepped):
            done, total = done_of(event, self.job.limits)
            line = live_line(
                event,
                self.start,
                held_out_loss_nats=self.held_out_nats,
                peak_flop_per_s=self.peak_flop_per_s,
                cost_usd=self.economy.cost_usd,
            )
            self.bar.update(self.task, description=line, completed=done, total=total)
