"""What happened to requests, measured or simulated alike, and the times that are read off it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Times = npt.NDArray[np.float64]
Counts = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestTimes:
    """When requests came and were answered; arrays [N], times in s from the start, NaN where it never happened.

    `arrival_s` is when a request was due, not when a busy client came to send it: what it waited for the client is
    part of its latency.
    """

    arrival_s: Times
    first_token_s: Times
    end_s: Times
    isl_tokens: Counts
    osl_tokens: Counts

    def __len__(self) -> int:
        return len(self.arrival_s)

    @property
    def ttft_s(self) -> Times:
        return self.first_token_s - self.arrival_s

    @property
    def e2e_s(self) -> Times:
        return self.end_s - self.arrival_s

    @property
    def tpot_s(self) -> Times:
        """Time per output token after the first; NaN for answers of one token."""
        rest = self.osl_tokens - 1
        per_token = np.full(len(rest), np.nan)
        np.divide(self.end_s - self.first_token_s, rest, out=per_token, where=rest > 0)
        return per_token


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestEvents(RequestTimes):
    """Measured requests in the order of arrival; `error` is empty for an answered one, else the kind of failure."""

    sent_s: Times
    error: tuple[str, ...]
    gaps_s: Times  # [G] between consecutive tokens of a request, of all answered ones

    @property
    def answered(self) -> npt.NDArray[np.bool_]:
        return np.array([not kind for kind in self.error], dtype=np.bool_)


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulatedRequests(RequestTimes):
    """Simulated requests in the order in which they finished."""

    id: Counts  # place in the order of arrival
    cached_tokens: Counts
    num_preemptions: Counts
    replica: Counts
