"""How a training run goes, live, on a terminal."""

from __future__ import annotations

from types import TracebackType
from typing import Any, Self

from steelyard.cli.training_options import Economy
from steelyard.records.training import Evaluated, Event, Started, Stepped
from steelyard.runtime.train import TrainJob
from steelyard.units import format_quantity


class Progress:
    """One line on stderr: step, loss, held-out loss, speed, MFU, memory, cost so far, time left."""

    def __init__(self, job: TrainJob, economy: Economy, *, shown: bool) -> None:
        """Take what is trained and what it costs; shows nothing unless `shown`."""
        self.job, self.economy, self.shown = job, economy, shown
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
        if self.bar is None:
            return
        if isinstance(event, Started):
            self.start = event
            self.peak_flop_per_s = self.economy.peak_flop_per_s([event])
        elif isinstance(event, Evaluated):
            self.held_out_nats = event.held_out_loss_nats
        elif isinstance(event, Stepped):
            done, total = self._done(event)
            self.bar.update(self.task, description=self._line(event), completed=done, total=total)

    def _done(self, event: Stepped) -> tuple[float, float | None]:
        limits = self.job.limits
        if limits.tokens is not None:
            return float(event.tokens), float(limits.tokens)
        return event.elapsed_s, limits.time_s

    def _line(self, event: Stepped) -> str:
        parts = [f"step {event.step:,}", f"loss {event.loss_nats:.3f}"]
        if self.held_out_nats is not None:
            parts.append(f"held-out {self.held_out_nats:.3f}")
        if self.start is not None and event.step_s > 0:
            speed = self.start.batch_tokens / event.step_s
            parts.append(format_quantity(speed, "token_per_s"))
            if self.peak_flop_per_s and self.start.flop_per_token:
                mfu = speed * self.start.flop_per_token / (self.peak_flop_per_s * self.start.devices)
                parts.append(f"MFU {format_quantity(mfu, 'ratio')}")
        parts.append(format_quantity(event.peak_memory_bytes, "bytes"))
        devices = self.start.devices if self.start is not None else 1
        cost = self.economy.cost_usd(event.elapsed_s * devices)
        if cost is not None:
            parts.append(f"{cost:.2f} USD")
        return "  ".join(parts)
