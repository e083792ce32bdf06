"""Policies of a serving fleet: one definition, for the simulated and for the real one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from steelyard.errors import InputError

Routing = Literal["round-robin", "least-requests", "power-of-two", "least-kv", "prefix-affinity"]
ROUTINGS: tuple[str, ...] = get_args(Routing)
Admission = Literal["chunk", "prompt", "answer"]
ADMISSIONS: tuple[str, ...] = get_args(Admission)
PREFIX_BALANCE_RATIO = 1.25  # prefix affinity: a replica gets no more while it has more requests than so many means


def keeps_prefix(requests: float, mean_requests: float, balance_ratio: float = PREFIX_BALANCE_RATIO) -> bool:
    """Tell whether a replica still gets the requests whose prefixes it holds.

    requests <= balance ratio * mean requests of a replica + 1

    Source: Mirrokni, Thorup, Zadimoghaddam, "Consistent Hashing with Bounded Loads", SODA 2018.

    Example:
        >>> [keeps_prefix(requests, mean_requests=4.0) for requests in (6, 7)]
        [True, False]
    """
    return requests <= balance_ratio * mean_requests + 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Batching:
    """How an engine forms its steps.

    `mixed` steps carry decoding sequences and prompt chunks together; else prompts go first, alone. Without `chunked`
    a prompt is never split. A `static` batch is formed from what waits and kept until its last answer is done.

    A request that waits starts once blocks are free for its next `chunk`, for its whole `prompt` (taken chunk by chunk
    all the same), or for prompt and `answer`, which are then taken at once, so that nobody is preempted.
    """

    token_budget: int  # most tokens in one step; an unsplit prompt beyond it runs alone
    max_sequences: int  # most sequences in one step
    chunked: bool = True
    mixed: bool = True
    static: bool = False
    admission: Admission = "chunk"
    block_tokens: int = 16  # KV cache is allocated by blocks of so many tokens

    def __post_init__(self) -> None:
        if self.admission not in ADMISSIONS:
            raise InputError(f"batching: admission {self.admission!r}; allowed: {', '.join(ADMISSIONS)}")
        for name in ("token_budget", "max_sequences", "block_tokens"):
            if getattr(self, name) < 1:
                raise InputError(f"batching: {name} {getattr(self, name)} is below 1")
        if self.mixed and not self.static and self.max_sequences > self.token_budget:
            raise InputError(
                f"batching: max_sequences {self.max_sequences} is above the token budget {self.token_budget}; "
                "each decoding sequence takes a token of it"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Autoscaling:
    """Replicas follow the requests in the system, as Kubernetes' and Ray Serve's autoscalers do.

    wanted = requests in the system / target, rounded up, within the bounds

    More are started at once; fewer are left when so few were wanted for `downscale_delay_s`.
    """

    min_replicas: int
    max_replicas: int
    target_requests: float  # in the system per replica
    interval_s: float = 15.0  # between two looks
    downscale_delay_s: float = 300.0  # the need must have been lower for so long
    cold_start_s: float = 60.0  # from the decision to the first request served

    def __post_init__(self) -> None:
        if not 1 <= self.min_replicas <= self.max_replicas:
            raise InputError(
                f"autoscaling: replicas from {self.min_replicas} to {self.max_replicas}; allowed: 1 <= least <= most"
            )
        for name, low in (("target_requests", 0.0), ("interval_s", 0.0)):
            if not getattr(self, name) > low:
                raise InputError(f"autoscaling: {name} must be above 0")
        for name in ("downscale_delay_s", "cold_start_s"):
            if not getattr(self, name) >= 0:
                raise InputError(f"autoscaling: {name} must not be negative")


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplicaFailures:
    """Replicas fail at random; their requests start again elsewhere."""

    mtbf_s: float  # of one replica, while it runs
    repair_s: float  # until it serves again

    def __post_init__(self) -> None:
        if not self.mtbf_s > 0 or not self.repair_s >= 0:
            raise InputError("failures: mtbf_s must be above 0 and repair_s not negative")
