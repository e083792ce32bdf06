"""What a replica carries within an objective, alone and among others: a surface of at most 64 simulations.

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
from steelyard.inference.simulator import Fleet, Replica
from steelyard.inference.steady import steady
from steelyard.records.user_cache import user_cache
from steelyard.records.workload import Lengths, Objective
from steelyard.units import Array

Values = npt.NDArray[np.float64]

REPLICAS = (1, 2, 8)
LEVELS = (0.02, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.88, 0.95, 1.05)  # of the largest rate in closed form
_REQUESTS = (1500, 6000)  # of one simulation, at least and at most
_ANSWERS = 8.0  # mean answers that a simulation lasts
_WARM_UP_RATIO = 0.1
_OVERLOADED_RATIO = 1.05  # served slower than it comes, beyond what the last answers take


@dataclass(frozen=True, slots=True, kw_only=True)
class CapacitySurface:
    """Latency of a fleet at the percentiles asked for, by its size and by the request rate of each replica."""

    replicas: Values  # [N]
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
            Rates, rising with the number of replicas; 0 where even an idle fleet misses a limit.
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

    def fleet_size(self, peak_request_rate_per_s: Array, capacity: Values) -> Values:
        """Return the whole replicas that carry a peak rate [D, M]; 0 where there is none, infinity where none can.

        Args:
            peak_request_rate_per_s: [D, M], or what broadcasts to it.
            capacity: What `capacity` returned [D, 1, N] or [D, N].

        Assumes:
            Beyond the largest fleet simulated, a replica carries what it does there.
        """
        each = capacity.reshape(-1, 1, len(self.replicas))
        peak = np.asarray(peak_request_rate_per_s, dtype=np.float64)
        carried = each * self.replicas  # [D, 1, N] by each fleet simulated, rising
        beyond = peak / np.where(each[..., -1] > 0, each[..., -1], 1e-300)
        needed = np.where(beyond >= self.replicas[-1], beyond, self.replicas[-1])
        for small in range(len(self.replicas) - 2, -1, -1):
            low, high = carried[..., small], carried[..., small + 1]
            span = np.log(np.where(low > 0, high / np.where(low > 0, low, 1.0), 2.0))
            part = np.log(np.where(low > 0, np.maximum(peak, 1e-300) / np.where(low > 0, low, 1.0), 2.0)) / np.where(
                span > 0, span, 1.0
            )
            first, second = self.replicas[small], self.replicas[small + 1]
            between = first * (second / first) ** np.clip(part, 0.0, 1.0)
            needed = np.where(peak <= high, np.where(low > 0, between, second), needed)
        whole = np.ceil(needed - 1e-9)
        whole = np.where(each[..., -1] > 0, whole, math.inf)
        return np.where(peak > 0, whole, 0.0)


def capacity_surface(
    model: arch.Model,
    device: Device,
    deployment: Deployment,
    lengths: Lengths,
    objective: Objective,
    *,
    arrival_cv_ratio: float = 1.0,
) -> CapacitySurface:
    """Return the surface of one deployment: simulated, or taken from the user's cache where it was before.

    Args:
        model, device, deployment: One replica, on the default engine of the device.
        lengths: Requests.
        objective: Its percentiles count; its limits are asked of the surface afterwards.
        arrival_cv_ratio: Coefficient of variation of the gaps between requests.

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
    file = user_cache() / "surfaces" / f"{_key(replica, lengths, percentiles, arrival_cv_ratio, most)}.npz"
    rates = np.array(LEVELS) * most
    curves = _read(file)
    if curves is None:
        bare = replace(replica, request_overhead_s=0.0)
        simulator.prepare()
        curves = np.empty((2, len(REPLICAS), len(rates)))
        for i, count in enumerate(REPLICAS):
            for j, rate in enumerate(rates):
                fleet = Fleet(replica=bare, num_replicas=count)
                curves[:, i, j] = _simulated(fleet, lengths, rate * count, answer_s, percentiles, arrival_cv_ratio)
        _write(file, curves)
    return CapacitySurface(
        replicas=np.array(REPLICAS, dtype=np.float64),
        request_rate_per_s=rates,
        ttft_s=np.maximum.accumulate(curves[0], axis=1),
        tpot_s=np.maximum.accumulate(curves[1], axis=1),
        request_overhead_s=replica.request_overhead_s,
    )


def _simulated(
    fleet: Fleet,
    lengths: Lengths,
    rate_per_s: float,
    answer_s: float,
    percentiles: tuple[float, float],
    arrival_cv_ratio: float,
) -> tuple[float, float]:
    """Return TTFT and TPOT at their percentiles; infinity where requests come faster than they are answered."""
    count = int(np.clip(_ANSWERS * rate_per_s * answer_s, *_REQUESTS))
    load = simulator.open_load(lengths, rate_per_s, count, arrival_cv_ratio=arrival_cv_ratio)
    run = simulator.simulate(fleet, load, warm_up_requests=int(_WARM_UP_RATIO * count))
    if run.duration_s - run.percentiles_s("e2e")["mean"] > _OVERLOADED_RATIO * count / rate_per_s:
        return math.inf, math.inf
    reached = [
        run.percentiles_s(metric, (percentile,))[f"p{percentile:g}"]
        for metric, percentile in zip(("ttft", "tpot"), percentiles, strict=True)
    ]
    return reached[0], reached[1]


def _largest_rate(limit: Array, rates: Values, curve: Values) -> Array:
    """Return the rate at which a latency that rises with it reaches a limit; 0 below the first point."""
    known = int(np.isfinite(curve).sum())
    if not known:
        return np.zeros(np.shape(limit))
    rising = curve[:known] * (1.0 + 1e-12 * np.arange(known))  # flat parts end at their right
    return np.interp(limit, rising, rates[:known], left=0.0)


def _key(
    replica: Replica, lengths: Lengths, percentiles: tuple[float, float], arrival_cv_ratio: float, most: float
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
            arrival_cv_ratio, most, _REQUESTS, _ANSWERS, _WARM_UP_RATIO, _OVERLOADED_RATIO)  # fmt: skip
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
