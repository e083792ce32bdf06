"""What was measured by training and serving one small model for real: what a prediction is put beside."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from steelyard.records.serving_metrics import ServingMetrics


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingTrial:
    """The speed of one way of training: `together` runs at the same time, each on `ranks` processes."""

    ranks: int
    threads: int  # of one process
    together: int = 1
    sequence_tokens: int
    batch: int  # sequences of an optimizer step of one run
    micro_batch: int
    dtype: str
    step_s: float  # median over the steps, and over the runs
    tokens_per_s: float  # of one run
    peak_memory_bytes: float  # of one process


@dataclass(frozen=True, slots=True, kw_only=True)
class ServingTrial:
    """What `replicas`, each with `threads` and `slots` places, gave to so many users."""

    replicas: int
    threads: int  # of one replica
    slots: int
    users: int
    isl_tokens: float  # as the server counted them
    osl_tokens: float
    length_spread_ratio: float = 0.0  # of answers around their mean; 0 where all are alike
    metrics: ServingMetrics


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """A small model trained and served to learn what a machine makes of such work."""

    config: Mapping[str, Any]  # as in config.json
    training: tuple[TrainingTrial, ...]
    serving: tuple[ServingTrial, ...]
    serving_bytes: float | None  # main memory of one replica with its door


@dataclass(frozen=True, slots=True, kw_only=True)
class Pretrained:
    """What a model that somebody else trained gave to users of this machine."""

    name: str
    serving: Mapping[str, ServingTrial]  # "alone", "one", "all", as in a trial
    prompt: str
    answer: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """One model, trained and served."""

    config: Mapping[str, Any]  # of the model, as in config.json
    training: TrainingTrial  # of the model that was kept, with all threads
    scaling: Mapping[str, TrainingTrial]  # "one" rank, "apart": as many runs that share the machine, "ranks" of one run
    serving: Mapping[str, ServingTrial]  # "alone": one user; "batch": a full one; "one" and "all" replicas, saturated
    started_s: float  # until a replica answered
    serving_bytes: float | None  # main memory of one replica with its door
    prompt: str
    answer: str
    pretrained: Pretrained | None = None  # where the extra `demo` is installed
