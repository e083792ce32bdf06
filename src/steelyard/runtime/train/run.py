"""A training run from its job to the trained model, resumed where an earlier process left it."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Mapping
from typing import Any

from steelyard import arch
from steelyard.records.training import Ended, Evaluated, Event, Started, kept, paid_device_s, paid_s
from steelyard.runtime.memory import keep_memory
from steelyard.runtime.threads import spin_shortly
from steelyard.runtime.train import checkpoint
from steelyard.runtime.train.event_log import EVENTS, EventLog, read_log
from steelyard.runtime.train.export import export
from steelyard.runtime.train.job import TrainJob
from steelyard.runtime.train.loop import Loop
from steelyard.runtime.train.model import build, config_keys, flop_per_token, learning_rate
from steelyard.runtime.train.passes import Passes
from steelyard.runtime.train.prepare import CHECKPOINTS, MODEL, TOKENS, prepare, run_tokenizer
from steelyard.runtime.train.ranks import Ranks, joined
from steelyard.runtime.train.shards import HELD_OUT, TRAIN, Sequences
from steelyard.runtime.train.stop import INTERRUPTED, Stop
from steelyard.runtime.train.watch import Watch
from steelyard.runtime.train.wrap import shared

_BETAS = (0.9, 0.95)


def train(job: TrainJob, watch: Watch | None = None) -> Ended:
    """Train a model, or go on with its training, and return how it ended.

    In `job.out` then lie `model/` (Hugging Face), `events.jsonl` and `checkpoints/`. Under torchrun every process
    calls it. A run that has ended is not run again unless its limits were widened.

    Args:
        job: What to train, on what, until when.
        watch: Who looks on.

    Raises:
        InputError: The job cannot be carried out as stated.
        SteelyardError: The loss is no number any more.
        OutsideProgramError: The disk refused; what was saved before is whole.
    """
    spin_shortly()
    keep_memory()
    _quiet_libraries()
    with joined(job) as ranks:
        ranks.after_first(lambda: prepare(job))
        run = _Run(job, watch or Watch(), ranks)
        return run.finished() or run.go_on()


def _quiet_libraries() -> None:
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    import transformers

    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()


class _Run:
    """What one process knows of a prepared run."""

    def __init__(self, job: TrainJob, watch: Watch, ranks: Ranks) -> None:
        self.job, self.watch, self.ranks = job, watch, ranks
        self.text, self.held_out = (
            Sequences(job.out / TOKENS, split, job.sequence_tokens) for split in (TRAIN, HELD_OUT)
        )
        earlier = read_log(job.out)
        self.history = kept(earlier)
        self.stop = Stop(
            limits=job.limits,
            total_steps=self._total_steps(),
            watch=watch,
            devices=ranks.size,
            paid_before_s=paid_s(earlier),
            paid_before_device_s=paid_device_s(earlier),
        )

    def _total_steps(self) -> int | None:
        """Return the steps of the whole run: to the limit of tokens, or, without any limit, of one pass."""
        limits = self.job.limits
        if limits.tokens is not None:
            return -(-limits.tokens // self.job.batch_tokens)
        if limits.none:
            return max(1, len(self.text) // self.job.batch)
        return None

    def finished(self) -> Ended | None:
        """Return how the run ended, if it did within the limits as they are now."""
        judged = [event for event in self.history if isinstance(event, Evaluated)]
        if judged:
            self.stop.held_out_loss_nats = judged[-1].held_out_loss_nats
        last = self.history[-1] if self.history else None
        ended = None
        if isinstance(last, Ended) and last.reason != INTERRUPTED and (self.job.out / MODEL).is_dir():
            reason = self.stop.reason(last.step)
            ended = dataclasses.replace(last, reason=reason) if reason else None
        agreed: Ended | None = self.ranks.agreed(ended)
        return agreed

    def go_on(self) -> Ended:
        """Train until there is a reason to stop; then judge and export."""
        tokenizer = run_tokenizer(self.job)
        model = build(self.job, tokenizer)
        params = [sum(p.numel() for p in model.parameters() if p.requires_grad or every) for every in (True, False)]
        keys = _config_keys(self.job, len(tokenizer))
        module = shared(model, self.ranks, self.job.sharding)
        dtype = _dtype(self.job, self.ranks)
        highest_rate = learning_rate(self.job, model.config.hidden_size)
        log = EventLog(self.job.out / EVENTS) if self.ranks.first else None
        emit = _teller(log, self.watch)
        loop = Loop(
            job=self.job,
            passes=Passes(model=module, ranks=self.ranks, dtype=dtype, micro_batch=self.job.micro_batch),
            model=model,
            optimizer=optimizer(model, highest_rate, self.job.weight_decay),
            learning_rate=highest_rate,
            text=self.text,
            held_out=self.held_out,
            stop=self.stop,
            emit=emit,
        )
        try:
            with self.stop.listening():
                found = self.ranks.agreed(checkpoint.latest(self.job.out / CHECKPOINTS))
                if found is not None:
                    loop.resume(found)
                started = Started(
                    **loop.now(),
                    params=params[0],
                    trained_params=params[1],
                    devices=self.ranks.size,
                    device=_device_name(self.ranks),
                    dtype=dtype,
                    sequence_tokens=self.job.sequence_tokens,
                    batch_tokens=self.job.batch_tokens,
                    flop_per_token=flop_per_token(keys, self.job.sequence_tokens, frozen=self.job.lora is not None),
                    bytes_per_token=self.held_out.bytes_per_token,
                    micro_batch=self.job.micro_batch,
                    threads=_threads(self.ranks),
                    sharding=self.job.sharding,
                    lora_rank=self.job.lora.rank if self.job.lora is not None else None,
                )
                emit(started)
                reason = loop.run()
            accuracy: dict[str, float] = {}
            if reason != INTERRUPTED:
                if self.watch.judge is not None:
                    accuracy |= self.watch.judge(loop.passes.log_likelihoods, self.held_out)
                written = export(model, tokenizer, self.job.out, self.ranks)
                if self.watch.examine is not None and self.ranks.first:
                    accuracy |= self.watch.examine(written)
            ended = Ended(**loop.now(), reason=reason, accuracy_ratio=accuracy)
            emit(ended)
            return ended
        finally:
            if log is not None:
                log.close()


def _teller(log: EventLog | None, watch: Watch) -> Callable[[Event], None]:
    """Return what writes an event and tells it to whoever looks on; only the first process tells."""

    def tell(event: Event) -> None:
        if log is not None:
            log.write(event)
            if watch.on_event is not None:
                watch.on_event(event)

    return tell


def _config_keys(job: TrainJob, vocab: int) -> Mapping[str, Any]:
    if job.finetune is not None:
        return arch.read_config(job.finetune)
    return config_keys(job.model, vocab=vocab, context_tokens=job.sequence_tokens)


def optimizer(model: Any, rate: float, weight_decay: float) -> Any:
    """Return AdamW with decay of matrices only."""
    import torch

    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    groups = [
        {"params": [p for p in trained if p.dim() >= 2], "weight_decay": weight_decay},
        {"params": [p for p in trained if p.dim() < 2], "weight_decay": 0.0},
    ]
    groups = [group for group in groups if group["params"]]
    return torch.optim.AdamW(groups, lr=rate, betas=_BETAS, fused=True)


def _dtype(job: TrainJob, ranks: Ranks) -> str:
    if job.dtype != "auto":
        return job.dtype
    return "bf16" if ranks.device.type == "cuda" else "fp32"


def _threads(ranks: Ranks) -> int | None:
    if ranks.device.type != "cpu":
        return None
    import torch

    return int(torch.get_num_threads())


def _device_name(ranks: Ranks) -> str:
    if ranks.device.type == "cpu":
        return "cpu"
    import torch

    return str(torch.cuda.get_device_name(ranks.device))
