"""What a replica carries within an objective, alone and among others: a surface of at most 64 simulations.

Bursts pool: in a fleet four times as large they take up half as large a share of it. Fleets are simulated up to a size,
and the limit of the largest ones too: a fleet fed by a clock, in which no burst is left. Between the two, what bursts
cost a replica falls as square-root staffing says, and that part of it that can wait falls faster.

Two axes are enough. Steps that take `r` times as long are the same run with time stretched: a run at the rate `r x` has
`1 / r` times the latencies of a run at `x`. So the surface is simulated once, at the predicted step times, and answers
for every draw of their error; and since latencies are kept, not capacities, it answers for every limit too.
"""

from __future__ import annotations

import contextlib
import hashlib
import math
import os
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np
import numpy.typing as npt

from steelyard import arch
from steelyard.device import Device
from steelyard.errors import DoesNotFitError, InputError
from steelyard.inference import simulator
from steelyard.inference.deployment import Deployment
from steelyard.inference.simulator import Fleet, Load, Replica
from steelyard.inference.steady import steady
from steelyard.records.requests import SimulatedRequests
from steelyard.records.sweep import swept
from steelyard.records.user_cache import user_cache
from steelyard.records.workload import Lengths, Objective
from steelyard.units import Array

Values = npt.NDArray[np.float64]

_TINY = 1e-300
_CLOCK = (0.0, math.inf)  # gaps that do not vary, all in one stream

REPLICAS = (1.0, 2.0, 8.0, 16.0, 40.0, math.inf)  # the last: so many that no burst is felt
LEVELS = (0.02, 0.1, 0.25, 0.4, 0.55, 0.7, 0.8, 0.88, 0.95, 1.05)  # of the largest rate in closed form
_REQUESTS = (1500, 6000)  # of one simulation, at least and at most
_PER_REPLICA = 250  # at most, where that is more
_BURSTS = 40.0  # that a simulation holds, at least: one is some cv^2 requests
_ANSWERS = (1.0, 8.0)  # mean answers that a simulation lasts, at least and where few enough
_WARM_UP_RATIO = 0.1
_OVERLOADED_RATIO = 0.03  # of the requests that come join a queue that only grows


@dataclass(frozen=True, slots=True, kw_only=True)
class CapacitySurface:
    """Latency of a fleet at the percentiles asked for, by its size and by the request rate of each replica."""

    replicas: Values  # [N], the last infinite
    request_rate_per_s: Values  # [L] at each replica, at the predicted step times
    ttft_s: Values  # [N, L], without what a request waits before the scheduler; infinity where the queue only grows
    tpot_s: Values  # [N, L]
    request_overhead_s: float

    def capacity(self, objective: Objective, time_ratio: Array = 1.0) -> Values:
        """Return the largest request rate of a replica among `replicas` within the limits [..., N] [1/s].

        Args:
            objective: Limits, at the percentiles that the surface was made for.
            time_ratio: True over predicted step time [...].

        Returns:
            Rates, rising with the number of replicas up to that which no burst reduces; 0 where even an idle fleet
            misses a limit.
        """
        ratio = np.asarray(time_ratio, dtype=np.float64)
        found = np.full((*ratio.shape, len(self.replicas)), math.inf)
        for limit, curves in (
            ((objective.ttft_s - self.request_overhead_s) / ratio, self.ttft_s),
            (objective.tpot_s / ratio, self.tpot_s),
        ):
            for place, curve in enumerate(curves):
                within = _largest_rate(limit, self.request_rate_per_s, curve)
                found[..., place] = np.minimum(found[..., place], within)
        # What a small fleet keeps, a larger one keeps too: the rest is noise of the simulation.
        result: Values = np.maximum.accumulate(found, axis=-1) / ratio[..., None]
        return result

    def carries(self, replicas: Array, capacity: Values) -> Values:
        """Return the request rate that so many replicas [D, M] carry together [1/s], straight between those simulated.

        n replicas beyond those simulated carry  n s - a sqrt(n) - b:  s each where no burst reduces it, less what is
        kept free for answers that run at once, whose number varies as sqrt(n), and for a queue that must empty in time,
        whatever n. The two largest fleets fix a and b, neither below 0.

        Args:
            replicas: Counts from 0 on.
            capacity: What `capacity` returned [D, N].

        Source:
            Halfin, Whitt, "Heavy-Traffic Limits for Queues with Many Exponential Servers", Operations Research 29(3),
            1981 (square-root staffing).
        """
        count = np.asarray(replicas, dtype=np.float64)
        known, smooth, spread, queue = self._law(capacity)
        fleets = np.append(0.0, self.replicas[:-1])
        place = np.interp(count, fleets, np.arange(len(fleets)))
        near = [np.clip(1.0 - np.abs(place - i), 0.0, 1.0) * known[:, i : i + 1] for i in range(1, len(fleets))]
        more = count * smooth - spread * np.sqrt(count) - queue
        result: Values = np.where(count > fleets[-1], more, sum(near))
        return result

    def fleet_size(self, peak_request_rate_per_s: Array, capacity: Values) -> Values:
        """Return the whole replicas that carry a peak rate [D, M]; 0 where there is none, infinity where none can.

        Args:
            peak_request_rate_per_s: [D, M], or what broadcasts to it.
            capacity: What `capacity` returned [D, N].
        """
        peak = np.asarray(peak_request_rate_per_s, dtype=np.float64)
        known, smooth, spread, queue = self._law(capacity)
        under = spread**2 + 4.0 * smooth * (peak + queue)
        root = (spread + np.sqrt(under)) / (2.0 * np.maximum(smooth, _TINY))  # of the law in `carries`
        fleets = np.append(0.0, self.replicas[:-1])
        needed = np.maximum(root**2, fleets[-1])
        for small in range(len(fleets) - 2, -1, -1):
            low, high = known[:, small : small + 1], known[:, small + 1 : small + 2]
            part = np.clip((peak - low) / np.maximum(high - low, _TINY), 0.0, 1.0)
            needed = np.where(peak <= high, fleets[small] + part * (fleets[small + 1] - fleets[small]), needed)
        whole = np.where(smooth > 0, np.ceil(needed - 1e-9), math.inf)
        return np.where(peak > 0, whole, 0.0)

    def _law(self, capacity: Values) -> tuple[Values, Values, Values, Values]:
        """Return what no fleet and those simulated carry [D, N], and s, a and b of the law beyond them [D, 1]."""
        smooth, fleets = capacity[:, -1:], np.append(0.0, self.replicas[:-1])
        known = np.pad(capacity[:, :-1], ((0, 0), (1, 0))) * fleets
        lost = np.maximum(fleets[-2:] * smooth - known[:, -2:], 0.0)
        root = np.sqrt(fleets[-2:])
        spread = np.clip((lost[:, 1:] - lost[:, :1]) / (root[1] - root[0]), 0.0, lost[:, 1:] / root[1])
        return known, smooth, spread, lost[:, 1:] - spread * root[1]


def capacity_surface(
    model: arch.Model,
    device: Device,
    deployment: Deployment,
    lengths: Lengths,
    objective: Objective,
    *,
    arrival_cv_ratio: float = 1.0,
    stream_request_rate_per_s: float = math.inf,
) -> CapacitySurface:
    """Return the surface of one deployment: simulated, or taken from the user's cache where it was before.

    Args:
        model, device, deployment: One replica, on the default engine of the device.
        lengths: Requests.
        objective: Its percentiles count; its limits are asked of the surface afterwards.
        arrival_cv_ratio: Coefficient of variation of the gaps between requests, in a stream of the rate below.
        stream_request_rate_per_s: A load of n times this rate is n such streams; infinity: all of it is one.

    Assumes:
        Streams keep their own time: where steps take longer than predicted, fewer streams are to be served than were
        simulated, which counts for little in the range of the error.

    Raises:
        DoesNotFitError: The weights, one sequence or the longest request do not fit.
    """
    try:
        replica = simulator.replica_for(model, device, deployment, lengths)
    except InputError as error:  # a request beyond the model's context
        raise DoesNotFitError(str(error)) from None
    free = steady(model, device, deployment, lengths, Objective())
    most, answer_s = float(np.max(free.request_rate_per_s)), float(np.max(free.e2e_s))
    percentiles = (objective.ttft_percentile, objective.tpot_percentile)
    stream = (arrival_cv_ratio, stream_request_rate_per_s)
    file = user_cache() / "surfaces" / f"{_key(replica, lengths, percentiles, stream, most)}.npz"
    rates = np.array(LEVELS) * most
    curves = _read(file)
    if curves is None:
        bare = replace(replica, request_overhead_s=0.0)
        simulator.prepare()

        def of_fleet(count: float) -> Values:
            # A clock leaves nothing to pool: a middling fleet stands for the largest.
            held, bursts = (count, stream) if math.isfinite(count) else (REPLICAS[2], _CLOCK)
            fleet, found = Fleet(replica=bare, num_replicas=int(held)), np.full((2, len(rates)), math.inf)
            for j, rate in enumerate(rates):
                load = _load(lengths, rate * held, int(held), answer_s, bursts)
                found[:, j] = _simulated(fleet, load, percentiles)
                if not math.isfinite(found[0, j]):
                    break  # what is too fast for the fleet, anything faster is
            return found

        curves = np.stack(swept(of_fleet, REPLICAS), axis=1)
        _write(file, curves)
    return CapacitySurface(
        replicas=np.array(REPLICAS),
        request_rate_per_s=rates,
        ttft_s=np.maximum.accumulate(curves[0], axis=1),
        tpot_s=np.maximum.accumulate(curves[1], axis=1),
        request_overhead_s=replica.request_overhead_s,
    )


def _load(lengths: Lengths, rate_per_s: float, replicas: int, answer_s: float, stream: tuple[float, float]) -> Load:
    """Return as many requests as show the answers of a fleet, which last so long when it is full, and its bursts."""
    cv_ratio, stream_rate_per_s = stream
    together = rate_per_s * answer_s
    least = _REQUESTS[0] + _BURSTS * cv_ratio**2
    most = max(least, _REQUESTS[1], _PER_REPLICA * replicas, _ANSWERS[0] * together)
    count = int(np.clip(_ANSWERS[1] * together, least, most))
    return simulator.streams_load(
        lengths, rate_per_s, count, arrival_cv_ratio=cv_ratio, stream_request_rate_per_s=stream_rate_per_s
    )


def _simulated(fleet: Fleet, load: Load, percentiles: tuple[float, float]) -> tuple[float, float]:
    """Return TTFT and TPOT at their percentiles; infinity where requests come faster than they are answered."""
    run = simulator.simulate(fleet, load, warm_up_requests=int(_WARM_UP_RATIO * load.num_requests), keep_events=True)
    if run.events is None or _queue_growth(run.events) > _OVERLOADED_RATIO:
        return math.inf, math.inf
    reached = [
        run.percentiles_s(metric, (percentile,))[f"p{percentile:g}"]
        for metric, percentile in zip(("ttft", "tpot"), percentiles, strict=True)
    ]
    return reached[0], reached[1]


def _queue_growth(events: SimulatedRequests) -> float:
    """Return by how many a queue grows with each request that comes: the slope of those who wait over those who came.

    Bursts, which come and go, hardly tilt it, and what the last answers take does not count.
    """
    came, began = np.sort(events.arrival_s), np.sort(events.first_token_s)
    order = np.arange(len(came), dtype=np.float64)
    waiting = order - np.searchsorted(began, came)
    centred = order - order.mean()
    return float(centred @ waiting / max(float(centred @ centred), 1.0))


def _largest_rate(limit: Array, rates: Values, curve: Values) -> Array:
    """Return the rate at which a latency that rises with it reaches a limit; 0 below the first point."""
    known = int(np.isfinite(curve).sum())
    if not known:
        return np.zeros(np.shape(limit))
    rising = np.log(np.maximum(curve[:known], _TINY)) + 1e-12 * np.arange(known)  # flat parts end at their right
    return np.interp(np.log(np.maximum(limit, _TINY)), rising, rates[:known], left=0.0)


def _key(
    replica: Replica, lengths: Lengths, percentiles: tuple[float, float], stream: tuple[float, float], most: float
) -> str:
    """Return a name for everything that the result depends on: the inputs and the simulator's own text."""
    digest = hashlib.sha256(_program().encode())
    table = replica.table
    for values in (
        table.sequences, table.prompt_tokens, table.context_tokens, table.attended_tokens, table.step_s,
        lengths.isl_tokens, lengths.osl_tokens, np.array(LEVELS), np.array(REPLICAS),
    ):  # fmt: skip
        digest.update(np.ascontiguousarray(values).tobytes())
    told = (replica.batching, replica.kv_blocks, replica.max_context_tokens, lengths.cached_input_ratio, percentiles,
            stream, most, _REQUESTS, _PER_REPLICA, _BURSTS, _ANSWERS, _WARM_UP_RATIO, _OVERLOADED_RATIO)  # fmt: skip
    digest.update(repr(told).encode())
    return digest.hexdigest()[:32]


@cache
def _program() -> str:
    digest = hashlib.sha256()
    for path in sorted(Path(simulator.__file__).parent.rglob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _read(file: Path) -> Values | None:
    """Return the curves in a file; None where there are none, or not of this shape."""
    try:
        with np.load(file, allow_pickle=False) as held:
            curves: Values = held["curves"]
    except (OSError, ValueError, KeyError, EOFError):
        return None
    return curves if curves.shape == (2, len(REPLICAS), len(LEVELS)) else None


def _write(file: Path, curves: Values) -> None:
    """Keep the curves: the whole file or nothing; a cache that cannot be written is none."""
    draft = file.with_name(f".{file.name}.{os.getpid()}.part")
    with contextlib.suppress(OSError):
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            with draft.open("xb") as out:
                np.savez(out, curves=curves)
            draft.replace(file)
        finally:
            draft.unlink(missing_ok=True)
