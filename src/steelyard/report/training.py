"""A training run in numbers, for the terminal and as JSON."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from steelyard.compare.measured import Row
from steelyard.measure.training import TrainingMeasures
from steelyard.records.training import Started, Stepped
from steelyard.report.json_document import document, dump
from steelyard.report.listing import table
from steelyard.report.measured import beside_rows
from steelyard.runtime.train import Limits
from steelyard.units import format_quantity

SCHEMA = "steelyard/measure-train/1"
ENDS = {
    "tokens": "all its tokens were trained on",
    "time": "its time was over",
    "usd": "its money was spent",
    "target_loss": "the target loss was reached",
    "interrupted": "it was told to stop; the same command resumes it",
    "": "it still runs, or was killed; the same command resumes it",
}


def training_table(
    measures: TrainingMeasures,
    *,
    cost_usd: float | None = None,
    beside: Sequence[Row] = (),
    width: int | None = None,
) -> str:
    """Return the numbers of a run as a table, and those that are predicted as a second one."""
    rows = [{"measured": name, "value": value, "how": how} for name, value, how in _rows(measures, cost_usd)]
    return table(rows, width=width) + (f"\n{beside_rows(beside, width=width)}" if beside else "")


def training_json(
    measures: TrainingMeasures, *, inputs: Mapping[str, Any], cost_usd: float | None = None, beside: Sequence[Row] = ()
) -> str:
    """Return the numbers of a run as one JSON document."""
    result = dataclasses.asdict(measures) | {"cost_usd": cost_usd, "predicted": [row.to_dict() for row in beside]}
    return dump(document(SCHEMA, inputs=inputs, result=result, breakdown={}, sources=()))


def _rows(run: TrainingMeasures, cost_usd: float | None) -> Iterator[tuple[str, str, str]]:
    yield "run", f"{run.step:,} steps", f"ended: {ENDS.get(run.reason, run.reason)}"
    yield "model", format_quantity(run.params, "param"), f"{run.dtype} on {run.devices} {run.device}"
    yield "trained on", format_quantity(run.tokens, "token"), ""
    yield "time", format_quantity(run.elapsed_s, "s"), f"of {format_quantity(run.paid_s, 's')} paid for"
    yield "training goodput", format_quantity(run.training_goodput_ratio, "ratio"), "time of progress that was kept"
    if cost_usd is not None:
        yield "cost", format_quantity(cost_usd, "usd"), "at the price given, lost work included"
    if run.tokens_per_s is not None and run.low_tokens_per_s is not None and run.high_tokens_per_s is not None:
        spread = " to ".join(format_quantity(v, "token_per_s") for v in (run.low_tokens_per_s, run.high_tokens_per_s))
        yield "speed", format_quantity(run.tokens_per_s, "token_per_s"), f"median step; p10 to p90 {spread}"
        if run.flop_per_token is not None:
            yield "arithmetic", format_quantity(run.tokens_per_s * run.flop_per_token, "flop_per_s"), "model FLOP"
    if run.mfu_ratio is not None:
        yield "MFU", format_quantity(run.mfu_ratio, "ratio"), "of the peak given"
    if run.peak_memory_bytes is not None:
        yield "memory", format_quantity(run.peak_memory_bytes, "bytes"), "peak of the first process"
    yield from _quality_rows(run)


def _quality_rows(run: TrainingMeasures) -> Iterator[tuple[str, str, str]]:
    if run.held_out_loss_nats is not None:
        yield "held-out loss", f"{run.held_out_loss_nats:.3f} nats/token", "text it was not trained on"
    if run.perplexity is not None:
        yield "perplexity", f"{run.perplexity:,.4g}", "same tokenizer only"
    if run.bits_per_byte is not None:
        yield "bits per byte", f"{run.bits_per_byte:.3f}", "any tokenizer"
    if run.train_eval_gap_nats is not None:
        yield "generalisation gap", f"{run.train_eval_gap_nats:+.3f} nats/token", "held-out minus training loss"
    if run.target_loss_nats is not None:
        found = run.tokens_to_target is not None and run.time_to_target_s is not None
        value = "not reached" if not found else format_quantity(run.tokens_to_target or 0.0, "token")
        after = f"after {format_quantity(run.time_to_target_s or 0.0, 's')}" if found else ""
        yield f"loss {run.target_loss_nats:g}", value, after
    for task, share in run.accuracy_ratio.items():
        chance = "one of four continuations; chance is 25%" if task == "cloze" else ""
        yield f"accuracy, {task}", format_quantity(share, "ratio"), chance


def done_of(event: Stepped, limits: Limits) -> tuple[float, float | None]:
    """Return how far a run is towards its limit, and that limit where it is known: tokens, else time."""
    if limits.tokens is not None:
        return float(event.tokens), float(limits.tokens)
    return event.elapsed_s, limits.time_s


def live_line(
    event: Stepped,
    start: Started | None,
    *,
    held_out_loss_nats: float | None,
    peak_flop_per_s: float | None,
    cost_usd: Callable[[float], float | None],
) -> str:
    """Return how a run goes, on one line: step, losses, speed, MFU, memory, cost so far.

    Example:
        >>> step = Stepped(step=7, tokens=70, elapsed_s=3600.0, unix_s=0.0, loss_nats=4.2, step_s=0.5,
        ...     peak_memory_bytes=2e9)
        >>> live_line(step, None, held_out_loss_nats=4.5, peak_flop_per_s=None, cost_usd=lambda s: s / 1e3)
        'step 7  loss 4.200  held-out 4.500  2 GB  3.60 USD'
    """
    parts = [f"step {event.step:,}", f"loss {event.loss_nats:.3f}"]
    if held_out_loss_nats is not None:
        parts.append(f"held-out {held_out_loss_nats:.3f}")
    if start is not None and event.step_s > 0:
        speed = start.batch_tokens / event.step_s
        parts.append(format_quantity(speed, "token_per_s"))
        if peak_flop_per_s and start.flop_per_token:
            mfu_ratio = speed * start.flop_per_token / (peak_flop_per_s * start.devices)
            parts.append(f"MFU {format_quantity(mfu_ratio, 'ratio')}")
    parts.append(format_quantity(event.peak_memory_bytes, "bytes"))
    cost = cost_usd(event.elapsed_s * (start.devices if start is not None else 1))
    return "  ".join(parts if cost is None else [*parts, f"{cost:.2f} USD"])
