"""Predicts serving: lengths, KV cache, step time, steady state, fleet size."""

from steelyard.inference.cold_start import ColdStart, cold_start
from steelyard.inference.deployment import Deployment, deployment_for
from steelyard.inference.engine import Engine, engine_for
from steelyard.inference.fleet import fleet_size, prefix_hit_ratio, replica_scaling
from steelyard.inference.latency import Latency, latency_at, latency_of_users
from steelyard.inference.lengths import lengths_from_stated, lengths_from_workload
from steelyard.inference.memory import ServingMemory, memory
from steelyard.inference.search import best_deployment, deployments, least_devices
from steelyard.inference.steady import Capacity, steady
from steelyard.inference.step import Step, step, step_time
from steelyard.inference.trace import lengths_from_trace

NOT_MODELLED: tuple[str, ...] = (
    "the scheduler event by event: percentiles come from queueing formulas",
    "preemption and recompute when the KV pool overflows",
    "memory saved by prefixes that requests share (their prefill is saved)",
    "speculative decoding and several tokens a step",
    "prefill and decode on different devices",
    "pipeline parallelism and data-parallel attention within a replica",
    "imbalance between experts",
    "overlap of communication with computation",
    "differences between engines and their versions",
    "users of a benchmark who start together and stay in step: their TTFT is two to three times the predicted one",
    "the network between user and server",
)

__all__ = [
    "NOT_MODELLED",
    "Capacity",
    "ColdStart",
    "Deployment",
    "Engine",
    "Latency",
    "ServingMemory",
    "Step",
    "best_deployment",
    "cold_start",
    "deployment_for",
    "deployments",
    "engine_for",
    "fleet_size",
    "latency_at",
    "latency_of_users",
    "least_devices",
    "lengths_from_stated",
    "lengths_from_trace",
    "lengths_from_workload",
    "memory",
    "prefix_hit_ratio",
    "replica_scaling",
    "steady",
    "step",
    "step_time",
]
