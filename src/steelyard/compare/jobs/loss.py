"""What a pretraining run is expected to reach, over the published laws of loss."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from steelyard import arch, training
from steelyard.compare.jobs.job import PRETRAIN, TrainingJob
from steelyard.records.estimate import Estimate
from steelyard.records.term import Term
from steelyard.units import Array


@dataclass(frozen=True, kw_only=True)
class Quality:
    """Loss of the default law; `low` and `high` of a range are the extremes over all laws, not percentiles."""

    params: float  # that a token uses
    tokens_seen: float  # repeated ones at their worth
    loss_nats_per_token: Estimate
    perplexity: Estimate
    bits_per_byte: Estimate | None  # None: bytes per token not stated
    best_params: Estimate  # the compute-optimal size for the same FLOP
    best_tokens: Estimate
    best_loss_nats_per_token: float

    def tree(self) -> Term:
        """Return the loss under each law."""

        def leaf(law: training.Law) -> Term:
            loss = float(training.loss_nats_per_token(self.params, self.tokens_seen, law=law))
            return Term(label=f"law {law.id}", value=loss, unit="nat_per_token", source=law.source)

        return Term(
            label="loss",
            value=self.loss_nats_per_token.p50,
            unit="nat_per_token",
            formula="E + A / params^alpha + B / tokens^beta",
            children=tuple(leaf(law) for law in training.laws().values()),
        )


def quality(job: TrainingJob) -> Quality | None:
    """Return the loss to expect; None for a fine-tuning, whose loss no law here predicts."""
    if job.kind != PRETRAIN:
        return None
    params = float(arch.count_params(job.model).active_params)
    unique = job.tokens if job.unique_tokens is None else min(job.unique_tokens, job.tokens)
    seen = float(training.effective_tokens(job.tokens, unique))
    flop = training.TRAINING_FLOP * params * job.tokens
    loss = training.over_laws(lambda law: training.loss_nats_per_token(params, seen, law=law))
    per_byte = job.bytes_per_token
    return Quality(
        params=params,
        tokens_seen=seen,
        loss_nats_per_token=loss,
        perplexity=_mapped(loss, training.perplexity),
        bits_per_byte=None if per_byte is None else _mapped(loss, lambda nats: training.bits_per_byte(nats, per_byte)),
        best_params=training.over_laws(lambda law: training.compute_optimal(flop, law).params),
        best_tokens=training.over_laws(lambda law: training.compute_optimal(flop, law).tokens),
        best_loss_nats_per_token=float(training.compute_optimal(flop).loss_nats_per_token),
    )


def _mapped(values: Estimate, function: Callable[[float], Array]) -> Estimate:
    return Estimate(**{name: float(function(value)) for name, value in values.to_dict().items()})
