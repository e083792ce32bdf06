"""The traffic that serving is asked for: a preset of the catalogue or a trace file, one meaning for both."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from steelyard import catalog, inference
from steelyard.compare.serving.served_by import ServedBy
from steelyard.errors import InputError
from steelyard.inference import simulator
from steelyard.inference.simulator import Load
from steelyard.records.workload import Lengths, Workload

PEAK_WINDOW_S = 60.0  # the presets' peaks are busiest minutes too
_LEAST_WINDOWS = 10.0  # a shorter trace is cut into so many
_TRACE_ENDINGS = {".csv", ".jsonl", ".json"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Demand:
    """Lengths, and how high the peak is above the mean; of a trace its own peak rate and its requests as well."""

    lengths: Lengths
    workload: Workload | None
    trace: Load | None
    peak_request_per_s: float | None  # None: not known, a preset has no size
    peak_to_mean_ratio: float

    def load_at(self, request_rate_per_s: float, num_requests: int) -> Load:
        """Return requests at a steady rate: of a trace in its order, with the blocks of its prompts.

        More requests than a trace has are those of it again, with other blocks: nobody asks the same twice.
        """
        if self.trace is None:
            return simulator.open_load(self.lengths, request_rate_per_s, num_requests)
        return replace(
            _repeated(self.trace, -(-num_requests // self.trace.num_requests)),
            num_requests=num_requests,
            request_rate_per_s=request_rate_per_s,
            trace_times=np.empty(0),
        )

    def replay_at(self, peak_request_per_s: float) -> Load:
        """Return the trace itself, stretched in time to this peak rate."""
        assert self.trace is not None
        assert self.peak_request_per_s is not None
        return self.trace.stretched_to(self.trace.request_rate_per_s * peak_request_per_s / self.peak_request_per_s)


def _repeated(trace: Load, times: int) -> Load:
    """Return a trace so many times over, each time with blocks of its own."""
    if times == 1 or not len(trace.hashes):
        return trace
    known, blocks = np.unique(trace.hashes, return_inverse=True)
    again = np.arange(times)[:, None]
    lengths = trace.lengths
    return replace(
        trace,
        lengths=replace(
            lengths, isl_tokens=np.tile(lengths.isl_tokens, times), osl_tokens=np.tile(lengths.osl_tokens, times)
        ),
        trace_hash_start=(trace.trace_hash_start + again * len(blocks)).ravel(),
        trace_hash_count=np.tile(trace.trace_hash_count, times),
        hashes=(blocks + again * len(known)).ravel(),
    )


def is_trace(name: str) -> bool:
    """Tell whether a load is a file (or a folder, which is refused as one) rather than a preset of the catalogue."""
    return Path(name).suffix.lower() in _TRACE_ENDINGS or Path(name).exists()


def stated_lengths(load: str, isl_tokens: float | None, osl_tokens: float | None) -> Lengths | None:
    """Return the lengths that a user states for every request of a load; None where none are.

    Raises:
        InputError: Only one of the two, or lengths in place of a trace's.
    """
    if isl_tokens is None and osl_tokens is None:
        return None
    if is_trace(load):
        raise InputError(f"lengths: {load} is a trace with its own; leave --isl and --osl out")
    if isl_tokens is None or osl_tokens is None:
        raise InputError("lengths: give both --isl and --osl, or neither")
    return inference.lengths_from_stated({"fixed": isl_tokens}, {"fixed": osl_tokens}, num_samples=2)


def demand_of(
    name: str, *, isl_tokens: float | None, osl_tokens: float | None, num_samples: int, served_by: ServedBy
) -> Demand:
    """Return what a load asks for.

    Raises:
        InputError: A trace that cannot be read, lengths stated in place of a trace's, or only one of them.
        UnknownError: The catalogue has no such preset.
    """
    stated = stated_lengths(name, isl_tokens, osl_tokens)
    if not is_trace(name):
        workload = catalog.workload(name)
        lengths = served_by.lengths_of(stated or inference.lengths_from_workload(workload, num_samples=num_samples))
        return Demand(
            lengths=lengths,
            workload=workload,
            trace=None,
            peak_request_per_s=None,
            peak_to_mean_ratio=workload.peak_to_mean_ratio,
        )
    trace = served_by.trace_of(simulator.trace_load(name))
    peak, mean = peak_rate(trace)
    return Demand(
        lengths=trace.lengths,
        workload=None,
        trace=trace,
        peak_request_per_s=peak,
        peak_to_mean_ratio=peak / mean,
    )


def peak_rate(trace: Load) -> tuple[float, float]:
    """Return the rate of a trace's busiest minute (of its busiest tenth, if it is short) and its mean rate [1/s].

    Raises:
        InputError: All requests come at one moment: there is no rate.

    Example:
        >>> times = np.concatenate([np.arange(0.0, 3600.0, 2.0), np.arange(3600.0, 7200.0, 0.5)])
        >>> one = Lengths(isl_tokens=np.ones(1), osl_tokens=np.ones(1))
        >>> load = Load(num_requests=len(times), lengths=one, label="two hours", trace_times=times)
        >>> [round(rate, 2) for rate in peak_rate(load)]
        [2.0, 1.25]
    """
    times = trace.trace_times
    lasts_s = float(times[-1])
    if not lasts_s > 0:
        raise InputError(f"{trace.label}: all requests come at one moment, so there is no rate to plan for")
    window_s = min(PEAK_WINDOW_S, lasts_s / _LEAST_WINDOWS)
    counts = np.bincount((times / window_s).astype(np.int64))
    mean = len(times) / lasts_s
    return max(float(counts.max()) / window_s, mean), mean
