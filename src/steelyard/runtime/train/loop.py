"""The loop of a training run: steps, evaluations and checkpoints in their turn, until there is a reason to stop."""

from __future__ import annotations

import math
import resource
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from steelyard.errors import SteelyardError
from steelyard.records.training import Evaluated, Event, Saved, Stepped
from steelyard.runtime.train import checkpoint
from steelyard.runtime.train.job import TrainJob
from steelyard.runtime.train.passes import Passes
from steelyard.runtime.train.prepare import CHECKPOINTS
from steelyard.runtime.train.schedule import rate_ratio
from steelyard.runtime.train.shards import Order, Sequences
from steelyard.runtime.train.stop import INTERRUPTED, REASONS, Stop

_STEPS_AT_ONCE = 10  # on a GPU the losses of so many steps are fetched together, so that it need not wait for the host


@dataclass(slots=True, kw_only=True)
class Loop:
    """A model and all that trains it, in one of the processes of a run."""

    job: TrainJob
    passes: Passes
    model: Any  # unwrapped
    optimizer: Any
    learning_rate: float
    text: Sequences
    held_out: Sequences
    stop: Stop
    emit: Callable[[Event], None]
    progress: checkpoint.Progress = field(default_factory=checkpoint.Progress)
    order: Order = field(init=False)
    _resumed_s: float = field(init=False)
    _begun_s: float = field(init=False)
    _saved_step: int = -1

    def __post_init__(self) -> None:
        self.order = Order(len(self.text), self.job.seed)
        self._resumed_s, self._begun_s = self.progress.elapsed_s, time.perf_counter()

    def resume(self, path: Any) -> None:
        """Take up the state of a checkpoint."""
        self.progress = checkpoint.load(path, self.model, self.optimizer, self.passes.ranks)
        self._resumed_s, self._begun_s = self.progress.elapsed_s, time.perf_counter()
        self._saved_step = self.progress.step

    def run(self) -> str:
        """Train until there is a reason to stop, and return it; the last state is saved."""
        while not (reason := self._agreed_reason()):
            self._some_steps()
            if self.progress.step % self.job.evaluate.every == 0:
                self.evaluate()
            if self.progress.step % self.job.checkpoint.every == 0:
                self.save()
        if reason != INTERRUPTED:
            self.evaluate(trained_too=True)
        self.save()
        return reason

    def now(self) -> dict[str, Any]:
        """Return what every event tells."""
        self.progress.elapsed_s = self._resumed_s + time.perf_counter() - self._begun_s
        return {
            "step": self.progress.step,
            "tokens": self.progress.tokens,
            "elapsed_s": round(self.progress.elapsed_s, 6),
            "unix_s": round(time.time(), 6),
        }

    def evaluate(self, *, trained_too: bool = False) -> None:
        """Judge the model on held-out text, and on as much text that it was trained on.

        Raises:
            SteelyardError: Its weights are no numbers.
        """
        self._check_weights()
        count = min(self.job.evaluate.sequences, len(self.held_out))
        loss = self.passes.mean_loss(self.held_out, _spread(len(self.held_out), count))
        trained = None
        seen = self.progress.step * self.job.batch
        if trained_too and seen:
            trained = self.passes.mean_loss(self.text, [self.order[at] for at in _spread(seen, min(count, seen))])
        self.stop.held_out_loss_nats = loss
        self.emit(Evaluated(**self.now(), held_out_loss_nats=loss, trained_loss_nats=trained))

    def save(self) -> None:
        """Write a checkpoint, unless this very state is saved.

        Raises:
            SteelyardError: The weights are no numbers; the checkpoints before are untouched.
            OutsideProgramError: The disk refused; they are too.
        """
        if self._saved_step == self.progress.step:
            return
        self._check_weights()
        self.now()
        begun = time.perf_counter()
        folder = self.job.out / CHECKPOINTS
        checkpoint.save(
            folder, self.model, self.optimizer, self.progress, self.passes.ranks, keep=self.job.checkpoint.keep
        )
        self._saved_step = self.progress.step
        self.emit(Saved(**self.now(), save_s=round(time.perf_counter() - begun, 6)))

    def _some_steps(self) -> None:
        """Do the steps up to the next point where something else is due, and tell their losses."""
        import torch

        every = [self.job.evaluate.every, self.job.checkpoint.every]
        count = min(_STEPS_AT_ONCE if self.passes.ranks.device.type == "cuda" else 1, *(self._until(n) for n in every))
        if self.stop.total_steps is not None:
            count = min(count, self.stop.total_steps - self.progress.step)
        before = self.now()
        begun = time.perf_counter()
        losses = self.passes.ranks.sum(torch.stack([self._step(number) for number in range(count)])).tolist()
        step_s = (time.perf_counter() - begun) / count
        memory = peak_memory_bytes(self.passes.ranks.device.type)
        for loss in losses:
            self.progress.step += 1
            self.progress.tokens += self.job.batch_tokens
            if not math.isfinite(loss):
                raise self._diverged(f"the loss became {loss}")
            told = self.now() | {
                "elapsed_s": round(before["elapsed_s"] + step_s * (self.progress.step - before["step"]), 6)
            }
            self.emit(Stepped(**told, loss_nats=loss, step_s=round(step_s, 6), peak_memory_bytes=memory))

    def _check_weights(self) -> None:
        """Refuse weights that a gradient without a number has spoilt: the loss tells of them one step later only."""
        if not checkpoint.is_finite(self.model, self.optimizer, self.passes.ranks):
            raise self._diverged("the weights are no finite numbers any more")

    def _diverged(self, what: str) -> SteelyardError:
        last = checkpoint.latest(self.job.out / CHECKPOINTS)
        return SteelyardError(
            f"{what} at step {self.progress.step}; lower learning_rate (it was {self.learning_rate:.2g}) or raise "
            f"warmup; {f'the last good checkpoint is {last}' if last else 'no checkpoint was saved'}"
        )

    def _step(self, ahead: int) -> Any:
        """Do one optimizer step, `ahead` of the progress told; return this process's part of the loss."""
        import torch

        job, ranks = self.job, self.passes.ranks
        step = self.progress.step + ahead
        rate = self.learning_rate * rate_ratio(step, warmup=job.warmup, total_steps=self.stop.total_steps)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        mine = range(step * job.batch + ranks.rank, (step + 1) * job.batch, ranks.size)
        loss = self.passes.train(self.text.rows(self.order[position] for position in mine), batch=job.batch)
        if job.gradient_clip:
            torch.nn.utils.clip_grad_norm_(self.model.parameters(), job.gradient_clip)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        return loss

    def _until(self, every: int) -> int:
        return every - self.progress.step % every

    def _agreed_reason(self) -> str:
        """Return the first process's reason to stop; a signal to any of them counts for all."""
        import torch

        ranks = self.passes.ranks
        reason = self.stop.reason(self.progress.step)
        if ranks.size == 1:
            return reason
        told = [float(REASONS.index(reason)) if ranks.first else 0.0, float(self.stop.signalled)]
        number, signalled = ranks.sum(torch.tensor(told, device=ranks.device)).tolist()
        return INTERRUPTED if signalled else REASONS[int(number)]


def peak_memory_bytes(device: str) -> float:
    """Return the most memory this process has held: the accelerator's where it computes on one, else the main one."""
    if device.startswith("cuda"):
        import torch

        return float(torch.cuda.max_memory_allocated())
    unit = 1 if sys.platform == "darwin" else 1024  # getrusage tells bytes there, KiB elsewhere
    return float(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit)


def _spread(size: int, count: int) -> list[int]:
    """Return `count` numbers below `size`, evenly spread."""
    return [int(number) for number in np.linspace(0, size - 1, count)]
