"""What a search over deployments simulates: candidates as fleets, at a steady rate or under the trace itself."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass, field

from steelyard import arch, device, inference
from steelyard.compare.serving.demand import Demand, demand_of
from steelyard.compare.serving.plan_account import Loss
from steelyard.compare.serving.plan_result import Candidate, ServingPlanQuestion
from steelyard.compare.serving.traffic import overloaded
from steelyard.errors import InputError
from steelyard.inference import simulator
from steelyard.inference.simulator import Fleet, Replica, ServingResult
from steelyard.records.serving import Routing

_SAMPLES = 4096  # lengths of a preset
_REQUESTS = (1500, 20_000)  # of a simulation, at least and at most
_ANSWERS = 8.0  # mean answers that a simulation lasts
_WARM_UP_RATIO = 0.2


@dataclass(slots=True, kw_only=True)
class Search:
    """The question with its names resolved, and what has been made so far."""

    question: ServingPlanQuestion
    model: arch.Model
    demand: Demand
    request_rate_per_s: float | None  # peak demand
    peak_to_mean_ratio: float
    replicas: dict[tuple[str, inference.Deployment, int | None], Replica] = field(default_factory=dict)
    devices: dict[str, device.Device] = field(default_factory=dict)
    losses: list[Loss] = field(default_factory=list)  # layouts that are no answer

    def lose(self, candidate: Candidate, reason: str, told: str, over_ratio: float = 1.0) -> None:
        """Note why a candidate is no answer, and how many times too large what it takes is."""
        told = f"{candidate.name.removeprefix(candidate.device_id).lstrip()}: {told}"
        self.losses.append(Loss(device_id=candidate.device_id, reason=reason, told=told, over_ratio=over_ratio))

    def on(self, name: str) -> device.Device:
        """Return a device, read once."""
        if name not in self.devices:
            self.devices[name] = device.load(name)
        return self.devices[name]

    def replica(self, name: str, deployment: inference.Deployment, max_sequences: int | None = None) -> Replica:
        """Return a replica with its table of step times, made once."""
        key = (name, deployment, max_sequences)
        if key not in self.replicas:
            self.replicas[key] = simulator.replica_for(
                self.model,
                self.on(name),
                deployment,
                self.demand.lengths,
                engine=self.question.engine_on(self.on(name)),
                speculation=self.question.speculation,
                max_sequences=max_sequences,
            )
        return self.replicas[key]

    def fleet(self, candidate: Candidate, *, units: int = 1, time_ratio: float = 1.0) -> Fleet:
        """Return so many of a candidate behind one router, with all steps longer by `time_ratio`."""
        routing: Routing = "least-requests"
        if self.demand.trace is not None and len(self.demand.trace.hashes):
            routing = "prefix-affinity"
        decode = self._slower(
            self.replica(candidate.device_id, candidate.deployment, candidate.max_sequences), time_ratio
        )
        if candidate.prefill is None:
            return Fleet(replica=decode, num_replicas=units, routing=routing)
        return Fleet(
            replica=self._slower(self.replica(candidate.device_id, candidate.prefill), time_ratio),
            num_replicas=units * candidate.prefill_replicas,
            decode=decode,
            num_decode_replicas=units * candidate.decode_replicas,
            transfer_s_per_token=self._transfer_s_per_token(candidate, units),
            routing=routing,
        )

    def _transfer_s_per_token(self, candidate: Candidate, units: int) -> float:
        """Return the time of a token's KV cache between the workers of so many groups: the router mixes them."""
        if units == 1 or candidate.prefill is None:
            return candidate.transfer_s_per_token
        return simulator.transfer_s_per_token(
            self.model,
            self.on(candidate.device_id),
            candidate.prefill,
            self.demand.lengths,
            to=candidate.deployment,
            num_devices=units * candidate.num_devices,
        )

    @staticmethod
    def _slower(replica: Replica, time_ratio: float) -> Replica:
        if time_ratio == 1.0:
            return replica
        return dataclasses.replace(replica, table=replica.table.scaled(time_ratio))

    def simulated(self, candidate: Candidate, rate: float, *, time_ratio: float = 1.0) -> ServingResult:
        """Return what one of a candidate does at a steady rate."""
        step_s = min(self.question.objective.tpot_s, 0.1)
        wanted = rate * _ANSWERS * self.demand.lengths.mean_osl_tokens * step_s
        count = int(min(max(wanted, _REQUESTS[0]), _REQUESTS[1]))
        return self._run(self.fleet(candidate, time_ratio=time_ratio), self.demand.load_at(rate, count), count)

    def keeps_pace(self, candidate: Candidate, rate: float, *, time_ratio: float = 1.0) -> bool:
        """Tell whether one of a candidate answers what comes at a steady rate; a short run may end before it fails."""
        count = _REQUESTS[1]
        fleet, load = self.fleet(candidate, time_ratio=time_ratio), self.demand.load_at(rate, count)
        return not overloaded(self._run(fleet, load, count, keep_timeline=True), rate)

    def replayed(self, candidate: Candidate, units: int, peak_rate: float) -> ServingResult:
        """Return what so many of a candidate do under the trace itself, stretched to a peak rate."""
        load = self.demand.replay_at(peak_rate)
        return self._run(self.fleet(candidate, units=units), load, 0)

    def _run(self, fleet: Fleet, load: simulator.Load, count: int, *, keep_timeline: bool = False) -> ServingResult:
        return simulator.simulate(
            fleet,
            load,
            objective=self.question.objective,
            seed=self.question.seed,
            warm_up_requests=int(_WARM_UP_RATIO * count),
            keep_timeline=keep_timeline,
        )


def _require_continuous(engine: inference.Engine) -> None:
    if engine.is_static:
        raise InputError(
            f"engine: {engine.name} runs batches that start and end together, which the search has no bound for; "
            "use an engine that batches continuously, or `steelyard simulate serve` for one deployment"
        )


def opened(question: ServingPlanQuestion) -> Search:
    """Return a search whose names are known and whose fields can be.

    Raises:
        InputError: A field that cannot be, or a trace that cannot be read.
        UnknownError: A name that the catalogue does not hold.
    """
    rate, mean = question.request_rate_per_s, question.mean_request_rate_per_s
    if question.max_devices < 1:
        raise InputError(f"devices: {question.max_devices} is not a number from 1 on")
    if rate is not None and mean is not None:
        raise InputError("a demand is either a peak rate or a mean rate, not both")
    for told in (rate, mean):
        if told is not None and not 0 < told < math.inf:
            raise InputError(f"request rate: {told:g} is not a positive number")
    ratio = question.peak_to_mean_ratio
    if ratio is not None and not 1 <= ratio < math.inf:
        raise InputError(f"peak to mean: {ratio:g} is below 1")
    for name in question.devices:  # a name that is wrong is an error, not a candidate that does not fit
        _require_continuous(question.engine_on(device.load(name)))
    for dtype in (*question.weight_dtypes, *([question.kv_dtype] if question.kv_dtype else [])):
        arch.dtype_bytes(dtype)
    asked = {device.load(name).id for name in question.devices}
    strangers = sorted({device.load(name).id for name in question.usd_per_device_s} - asked)
    if strangers:
        raise InputError(f"price of {strangers[0]}: it is none of the devices asked about: {', '.join(sorted(asked))}")
    demand = demand_of(
        question.load,
        isl_tokens=question.isl_tokens,
        osl_tokens=question.osl_tokens,
        num_samples=_SAMPLES,
        served_by=question,
    )
    ratio = demand.peak_to_mean_ratio if ratio is None else ratio
    if mean is not None:
        rate = mean * ratio
    simulator.prepare()
    return Search(
        question=question,
        model=arch.load(question.model),
        demand=demand,
        request_rate_per_s=demand.peak_request_per_s if rate is None else rate,
        peak_to_mean_ratio=ratio,
    )
