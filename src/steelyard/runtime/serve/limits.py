"""What the front door lets in."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Bounds of one address; beyond them a request is refused with the status that says why."""

    max_queue_requests: int = 256  # waiting for a place; then 429
    deadline_s: float = 600.0  # of a request, waiting included; then 504, or 408 where its body is not there
    max_body_bytes: int = 8_000_000  # then 413
    max_output_tokens: int = 0  # of one answer, also where none is asked for; then 400; 0: as the engine allows
    attempts: int = 3  # at a request that no token of has been sent on, when replicas fail
