"""When a run stops: its limits, or a signal."""

from __future__ import annotations

import math
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import FrameType

from steelyard.runtime.train.job import Limits
from steelyard.runtime.train.watch import Watch

INTERRUPTED = "interrupted"
REASONS = ("", "tokens", "time", "usd", "target_loss", INTERRUPTED)  # a process tells another by the number


@dataclass(slots=True, kw_only=True)
class Stop:
    """Decides whether to go on. Time and money count from the first process on, work that was lost included."""

    limits: Limits
    total_steps: int | None
    watch: Watch
    devices: int
    paid_before_s: float  # by the processes before this one
    paid_before_device_s: float
    held_out_loss_nats: float = math.inf
    signalled: bool = False
    begun_unix_s: float = field(default_factory=time.time)

    def reason(self, step: int) -> str:
        """Return why to stop after `step` steps, "" to go on."""
        if self.signalled or (self.watch.stop_asked is not None and self.watch.stop_asked()):
            return INTERRUPTED
        target = self.limits.target_loss_nats
        if target is not None and self.held_out_loss_nats <= target:
            return "target_loss"
        lasted_s = time.time() - self.begun_unix_s
        if self.limits.time_s is not None and self.paid_before_s + lasted_s >= self.limits.time_s:
            return "time"
        device_s = self.paid_before_device_s + lasted_s * self.devices
        cost_usd = self.watch.cost_usd(device_s) if self.watch.cost_usd is not None else None
        if self.limits.usd is not None and cost_usd is not None and cost_usd >= self.limits.usd:
            return "usd"
        return "tokens" if self.total_steps is not None and step >= self.total_steps else ""

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Let the first SIGINT or SIGTERM end the run after its step; a second one ends it at once."""

        def heard() -> None:
            self.signalled = True

        with first_signal(heard):
            yield


@contextmanager
def first_signal(then: Callable[[], None]) -> Iterator[None]:
    """Do something at the first SIGINT or SIGTERM; a second one raises KeyboardInterrupt."""
    seen: list[int] = []

    def hear(number: int, frame: FrameType | None) -> None:
        if seen:
            signal.default_int_handler(number, frame)
        seen.append(number)
        then()

    try:
        before = {number: signal.signal(number, hear) for number in (signal.SIGINT, signal.SIGTERM)}
    except ValueError:  # not the main thread: whoever owns it listens
        before = {}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
