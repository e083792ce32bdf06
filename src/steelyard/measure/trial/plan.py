"""What a trial trains and serves, and for how long: bounded in time, whatever the machine."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialPlan:
    """Sizes and times of a trial."""

    params: str = "1.5M"
    data: Path | None = None  # None is the source text of Python's standard library
    vocabulary: int = 1024
    sequence_tokens: int = 128
    batch: int = 16  # sequences of a step, in one pass
    train_s: float = 180.0  # of the model that is kept, checks of it apart
    train_steps: int = 10**6  # at most
    scaling_s: float = 10.0  # of each of the runs that are compared, about
    load_s: float = 10.0  # of each load
    slots: int = 8
    isl_tokens: int = 64
    osl_tokens: int = 64
    prompt: str = "    def"  # no space after it: words carry the space before them
    cores: int = field(default_factory=_cores)
    questions: int = 200  # asked of the model that is kept
    timeout_s: float = 600.0  # of one command

    @property
    def copies(self) -> int:
        """Processes that are compared with one: ranks, replicas."""
        return max(min(self.cores, 8), 2)
