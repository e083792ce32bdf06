"""What a training run is judged by, read off its events: speed, convergence, generalisation, quality.

The events may be those of `steelyard train`, or of any Hugging Face Trainer with `TrainingEvents`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np

from steelyard.errors import InputError
from steelyard.records.training import Ended, Evaluated, Event, Started, Stepped, kept, paid_device_s, paid_s
from steelyard.records.usage import Usage


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingMeasures:
    """A run in numbers; None where its events do not tell."""

    params: int
    devices: int
    device: str
    dtype: str
    step: int
    tokens: int
    reason: str  # why it ended; "" while it runs, or where it was killed
    elapsed_s: float  # spent on progress that was kept
    paid_s: float  # of all processes of the run one after the other, lost work included
    paid_device_s: float  # of all devices meanwhile
    training_goodput_ratio: float
    step_s: float | None  # median
    tokens_per_s: float | None  # of the median step, all devices
    low_tokens_per_s: float | None  # p10 and p90 over steps
    high_tokens_per_s: float | None
    flop_per_token: float | None
    mfu_ratio: float | None
    peak_memory_bytes: float | None
    loss_nats: float | None  # of the last batch
    held_out_loss_nats: float | None
    trained_loss_nats: float | None  # on text it was trained on, by the same weights as the held-out loss
    train_eval_gap_nats: float | None
    perplexity: float | None  # of the held-out text; only comparable with the same tokenizer
    bits_per_byte: float | None  # of the held-out text, whatever the tokenizer
    target_loss_nats: float | None
    tokens_to_target: float | None
    time_to_target_s: float | None
    accuracy_ratio: Mapping[str, float] = field(default_factory=dict)

    @property
    def usage(self) -> Usage:
        """What was used, to be priced."""
        return Usage(
            device_s=self.paid_device_s,
            busy_device_s=self.paid_device_s * self.training_goodput_ratio,
            training_tokens=float(self.tokens),
        )


def measure_training(
    events: Sequence[Event], *, peak_flop_per_s: float | None = None, target_loss_nats: float | None = None
) -> TrainingMeasures:
    """Return what the events of a run tell.

    Args:
        events: All events, those of processes that were killed included.
        peak_flop_per_s: Of one device, for MFU.
        target_loss_nats: Held-out loss whose tokens and time are asked for.

    Raises:
        InputError: There is no start among the events.

    Source: perplexity = exp(loss), bits per byte = loss / ln 2 * tokens / bytes (Gao et al., "The Pile",
        arXiv 2101.00027, section 3.1); the generalisation gap is held-out minus training loss of the same weights.
    """
    progress = kept(events)
    starts = [event for event in progress if isinstance(event, Started)]
    if not starts:
        raise InputError("no training run: its events tell of no start")
    start = starts[-1]
    steps = [event for event in progress if isinstance(event, Stepped)]
    judged = [event for event in progress if isinstance(event, Evaluated)]
    speeds = [start.batch_tokens / event.step_s for event in _settled(steps) if event.step_s > 0]
    low, middle, high = (float(value) for value in np.quantile(speeds, [0.1, 0.5, 0.9])) if speeds else (None,) * 3
    last = progress[-1]
    ended = next((event for event in progress if isinstance(event, Ended)), None)  # judged once more after it, perhaps
    all_s = paid_s(events)
    held_out = judged[-1].held_out_loss_nats if judged else None
    trained = next((event.trained_loss_nats for event in reversed(judged) if event.trained_loss_nats is not None), None)
    mfu = None
    if middle is not None and start.flop_per_token is not None and peak_flop_per_s is not None:
        mfu = middle * start.flop_per_token / (peak_flop_per_s * start.devices)
    reached = _reached(judged, target_loss_nats)
    return TrainingMeasures(
        params=start.params,
        devices=start.devices,
        device=start.device,
        dtype=start.dtype,
        step=last.step,
        tokens=last.tokens,
        reason="" if ended is None else ended.reason,
        elapsed_s=last.elapsed_s,
        paid_s=all_s,
        paid_device_s=paid_device_s(events),
        training_goodput_ratio=min(1.0, last.elapsed_s / all_s) if all_s > 0 else 1.0,
        step_s=None if middle is None else start.batch_tokens / middle,
        tokens_per_s=middle,
        low_tokens_per_s=low,
        high_tokens_per_s=high,
        flop_per_token=start.flop_per_token,
        mfu_ratio=mfu,
        peak_memory_bytes=max((event.peak_memory_bytes for event in steps), default=None),
        loss_nats=steps[-1].loss_nats if steps else None,
        held_out_loss_nats=held_out,
        trained_loss_nats=trained,
        train_eval_gap_nats=None if held_out is None or trained is None else held_out - trained,
        perplexity=None if held_out is None else math.exp(min(held_out, 700.0)),
        bits_per_byte=None if held_out is None or not start.bytes_per_token
        else held_out / math.log(2) / start.bytes_per_token,
        target_loss_nats=target_loss_nats,
        tokens_to_target=None if reached is None else reached[0],
        time_to_target_s=None if reached is None else reached[1],
        accuracy_ratio={} if ended is None else ended.accuracy_ratio,
    )  # fmt: skip


def _settled(steps: Sequence[Stepped]) -> Sequence[Stepped]:
    """Return the steps without the first, which also loads and allocates."""
    return steps[1:] if len(steps) > 1 else steps


def _reached(judged: Sequence[Evaluated], target_nats: float | None) -> tuple[float, float] | None:
    """Return tokens and time at which the held-out loss came down to the target, between two evaluations by a line."""
    if target_nats is None:
        return None
    if judged and judged[0].held_out_loss_nats <= target_nats:
        return float(judged[0].tokens), judged[0].elapsed_s
    for before, after in pairwise(judged):
        if after.held_out_loss_nats <= target_nats < before.held_out_loss_nats:
            share = (before.held_out_loss_nats - target_nats) / (before.held_out_loss_nats - after.held_out_loss_nats)
            tokens = before.tokens + share * (after.tokens - before.tokens)
            return tokens, before.elapsed_s + share * (after.elapsed_s - before.elapsed_s)
    return None
