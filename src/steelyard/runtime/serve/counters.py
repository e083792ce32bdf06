"""What the front door counts, for Prometheus."""

from __future__ import annotations

from functools import partial

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from steelyard.runtime.serve.pool import Pool
from steelyard.runtime.serve.routing import Replica

_TIMES_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600)


class Counters:
    """Counters of one front door, in a registry of their own."""

    def __init__(self, pool: Pool) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter("steelyard_requests", "Requests ended, by status", ["status"], registry=self.registry)
        self.by_replica = Counter(
            "steelyard_replica_requests", "Requests answered, by replica", ["replica"], registry=self.registry
        )
        self.retries = Counter(
            "steelyard_retries", "Requests sent again after a replica failed", registry=self.registry
        )
        self.broken = Counter("steelyard_broken_streams", "Answers cut off while streaming", registry=self.registry)
        self.ttft = Histogram(
            "steelyard_ttft_seconds", "From request to first bytes of the answer", buckets=_TIMES_S,
            registry=self.registry,
        )  # fmt: skip
        self.e2e = Histogram(
            "steelyard_e2e_seconds", "From request to the end of the answer", buckets=_TIMES_S, registry=self.registry
        )
        waiting = Gauge("steelyard_queue_requests", "Requests waiting for a place", registry=self.registry)
        waiting.set_function(lambda: len(pool.waiting))
        running = Gauge("steelyard_running_requests", "Requests on a replica", ["replica"], registry=self.registry)
        ready = Gauge("steelyard_replica_ready", "1 when a replica takes requests", ["replica"], registry=self.registry)
        for replica in pool.replicas:
            name = str(replica.index)
            running.labels(name).set_function(partial(_in_flight, replica))
            ready.labels(name).set_function(partial(_ready, replica))

    def text(self) -> bytes:
        return generate_latest(self.registry)


def _in_flight(replica: Replica) -> float:
    return replica.in_flight


def _ready(replica: Replica) -> float:
    return float(replica.ready)
