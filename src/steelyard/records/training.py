"""What happens in a training run, as events; and what is left of them when a run was interrupted and resumed.

Predicted or measured, by our own loop or by somebody else's: the same records. Written as JSON lines, one event a line:

    {"event": "start", "step": 0, "tokens": 0, "elapsed_s": 0.0, "unix_s": ..., "params": 1048576, ...}
    {"event": "step", "step": 1, "tokens": 8192, "elapsed_s": 0.7, "unix_s": ..., "loss_nats": 8.3, ...}
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias


@dataclass(frozen=True, slots=True, kw_only=True)
class _Event:
    """What every event tells. `elapsed_s` is time spent on progress that was kept, `unix_s` the clock on the wall."""

    step: int  # optimizer steps done
    tokens: int  # tokens trained on so far
    elapsed_s: float
    unix_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Started(_Event):
    """A process began, or took up a run from its last checkpoint (`step` above 0)."""

    params: int  # trained or not
    devices: int  # processes that share the batch
    device: str  # "cpu", or the accelerator's name
    dtype: str
    sequence_tokens: int
    batch_tokens: int  # of one optimizer step
    flop_per_token: float | None = None  # forward and backward, None where the architecture is not known
    bytes_per_token: float | None = None  # of the held-out text
    trained_params: int | None = None  # where not all are
    micro_batch: int | None = None  # most sequences of one pass of one process; None where it is not told
    threads: int | None = None  # of one process on a CPU
    sharding: str = "ddp"  # or "fsdp"
    lora_rank: int | None = None  # of adapters; None where all weights are trained


@dataclass(frozen=True, slots=True, kw_only=True)
class Stepped(_Event):
    """One optimizer step was done; the loss is the mean over its batch, before the step."""

    loss_nats: float
    step_s: float  # of this step alone, without evaluation and checkpoints around it
    peak_memory_bytes: float  # of the first process so far


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluated(_Event):
    """The model was judged on held-out text, and perhaps on as much text that it was trained on."""

    held_out_loss_nats: float
    trained_loss_nats: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Saved(_Event):
    """A checkpoint was complete on disk."""

    save_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended(_Event):
    """The run stopped for good, or was told to stop (`interrupted`)."""

    reason: str  # "tokens", "time", "target_loss", "usd", "interrupted"
    accuracy_ratio: Mapping[str, float] = field(default_factory=dict)  # downstream task -> share answered right


Event: TypeAlias = Started | Stepped | Evaluated | Saved | Ended
_NAMES: dict[str, type[Event]] = {
    "start": Started, "step": Stepped, "evaluation": Evaluated, "checkpoint": Saved, "end": Ended,
}  # fmt: skip
_KINDS = {kind: name for name, kind in _NAMES.items()}


def event_line(event: Event) -> str:
    """Return an event as one line of JSON.

    Example:
        >>> event_line(Evaluated(step=1, tokens=64, elapsed_s=0.5, unix_s=0.0, held_out_loss_nats=5.5))[:45]
        '{"event": "evaluation", "step": 1, "tokens": '
    """
    return json.dumps({"event": _KINDS[type(event)], **dataclasses.asdict(event)}) + "\n"


def read_events(lines: Iterable[str]) -> Iterator[Event]:
    """Yield the events in lines of JSON; a last line that a killed process left half-written is no event.

    Raises:
        ValueError: A line is not an event; with its number.
    """
    torn: str | None = None
    for number, line in enumerate(lines, start=1):
        if torn is not None:
            raise ValueError(torn)
        if not line.strip():
            continue
        try:
            document: dict[str, Any] = json.loads(line)
            kind = _NAMES[document.pop("event")]
            event = kind(**document)
        except (json.JSONDecodeError, KeyError, TypeError, AttributeError):
            torn = f"line {number} is not an event of a training run"
            continue
        yield event


def kept(events: Iterable[Event]) -> list[Event]:
    """Return the events whose progress was kept: what came after the checkpoint that a run resumed from is dropped."""
    result: list[Event] = []
    for event in events:
        if isinstance(event, Started):
            result = [earlier for earlier in result if earlier.step <= event.step and not isinstance(earlier, Ended)]
        result.append(event)
    return result


def paid_s(events: Iterable[Event]) -> float:
    """Return how long the run's processes ran in all, lost work included (s)."""
    return sum(lasted_s for lasted_s, _ in _stretches(events))


def paid_device_s(events: Iterable[Event]) -> float:
    """Return the device-seconds of the same: a run may go on with other numbers of devices than it began with."""
    return sum(lasted_s * devices for lasted_s, devices in _stretches(events))


def _stretches(events: Iterable[Event]) -> Iterator[tuple[float, int]]:
    """Yield how long the run went on each time it was started (s), and on how many devices."""
    start = last = 0.0
    devices = 0
    for event in events:
        if isinstance(event, Started):
            yield last - start, devices
            start, devices = event.unix_s, event.devices
        last = event.unix_s
    yield last - start, devices
