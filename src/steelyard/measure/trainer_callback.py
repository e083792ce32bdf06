"""Lets a Hugging Face Trainer write the events that `steelyard measure train` reads.

trainer = Trainer(..., callbacks=[TrainingEvents("runs/mine/events.jsonl", sequence_tokens=1024)])
"""

from __future__ import annotations

import time
from contextlib import closing
from pathlib import Path
from typing import Any

from transformers import TrainerCallback

from steelyard.records.training import Ended, Evaluated, Event, Saved, Started, Stepped
from steelyard.runtime.train.event_log import EventLog
from steelyard.runtime.train.loop import peak_memory_bytes


class TrainingEvents(TrainerCallback):  # type: ignore[misc] # transformers is untyped here
    """Writes a Trainer's steps and evaluations. Set its `logging_steps=1` to see every step's loss."""

    def __init__(self, path: str | Path, *, sequence_tokens: int, bytes_per_token: float | None = None) -> None:
        """Take the file to append to, and what the Trainer does not know.

        Args:
            path: JSON lines; its folder is made.
            sequence_tokens: Tokens of one sequence.
            bytes_per_token: Of the held-out text, for bits per byte.
        """
        self.path = Path(path)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.sequence_tokens, self.bytes_per_token = sequence_tokens, bytes_per_token
        self.batch_tokens, self.begun, self.step_begun, self.step_s, self.since = 0, 0.0, 0.0, 0.0, 0

    def on_train_begin(self, args: Any, state: Any, control: Any, model: Any = None, **_: Any) -> None:  # noqa: ARG002
        """Tell the start."""
        sequences = args.train_batch_size * args.gradient_accumulation_steps * args.world_size
        self.batch_tokens = sequences * self.sequence_tokens
        self.begun = time.perf_counter()
        if not state.is_world_process_zero:
            return
        trained = sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
        self._tell(
            Started(
                **self._now(state), params=sum(parameter.numel() for parameter in model.parameters()),
                trained_params=trained, devices=args.world_size, device=str(args.device),
                dtype="bf16" if args.bf16 else "fp16" if args.fp16 else "fp32", sequence_tokens=self.sequence_tokens,
                batch_tokens=self.batch_tokens, bytes_per_token=self.bytes_per_token,
            )
        )  # fmt: skip

    def on_step_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ARG002
        """Start the clock of a step."""
        self.step_begun = time.perf_counter()

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ARG002
        """Stop the clock of a step."""
        self.step_s += time.perf_counter() - self.step_begun
        self.since += 1

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:  # noqa: ARG002
        """Tell the loss, the mean since the last one told."""
        if logs and "loss" in logs and self.since and state.is_world_process_zero:
            loss, memory = float(logs["loss"]), peak_memory_bytes(str(args.device))
            told = self._now(state)
            self._tell(Stepped(**told, loss_nats=loss, step_s=self.step_s / self.since, peak_memory_bytes=memory))
            self.step_s, self.since = 0.0, 0

    def on_evaluate(self, args: Any, state: Any, control: Any, metrics: Any = None, **_: Any) -> None:  # noqa: ARG002
        """Tell the held-out loss."""
        if metrics and "eval_loss" in metrics and state.is_world_process_zero:
            self._tell(Evaluated(**self._now(state), held_out_loss_nats=float(metrics["eval_loss"])))

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ARG002
        """Tell that a checkpoint was saved; the Trainer does not say how long it took."""
        if state.is_world_process_zero:
            self._tell(Saved(**self._now(state), save_s=0.0))

    def on_train_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ARG002
        """Tell the end."""
        if state.is_world_process_zero:
            self._tell(Ended(**self._now(state), reason="tokens"))

    def _tell(self, event: Event) -> None:
        """Append an event. Only the process that writes opens the file, for that drops a half-written line."""
        with closing(EventLog(self.path)) as log:
            log.write(event)

    def _now(self, state: Any) -> dict[str, Any]:
        return {
            "step": state.global_step,
            "tokens": state.global_step * self.batch_tokens,
            "elapsed_s": round(time.perf_counter() - self.begun, 6),
            "unix_s": round(time.time(), 6),
        }
