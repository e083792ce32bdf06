"""Predicts serving: lengths, KV cache, step time, steady state, fleet size."""

from steelyard.inference.cold_start import ColdStart, cold_start
from steelyard.inference.cuts import broken_cut, require_cut
from steelyard.inference.deployment import Deployment, deployment_for
from steelyard.inference.engine import DEFAULT_ENGINE, Engine, engine_for, outside_s
from steelyard.inference.engine_notes import engine_notes
from steelyard.inference.fleet import fleet_size, prefix_hit_ratio, replica_scaling
from steelyard.inference.joint_shares import joint_shares
from steelyard.inference.latency import Latency, latency_at, latency_of_users
from steelyard.inference.lengths import lengths_from_stated, lengths_from_workload
from steelyard.inference.memory import ServingMemory, memory, shortfall
from steelyard.inference.residuals import time_residual_sigma
from steelyard.inference.search import best_deployment, deployments, least_devices
from steelyard.inference.speculation import Speculation
from steelyard.inference.steady import Capacity, steady
from steelyard.inference.step import Step, step, step_time
from steelyard.inference.trace import lengths_from_trace
from steelyard.inference.under_load import UnderLoad, under_load

NOT_MODELLED: tuple[str, ...] = (
    "the scheduler event by event: means and percentiles come from queueing formulas",
    "preemption and recompute when the KV pool overflows",
    "memory saved by prefixes that requests share (their prefill is saved)",
    "prefill and decode on different devices",
    "overlap of communication with computation",
    "kernels that a version of an engine lacks for a format",
    "the network between user and server",
)

__all__ = [
    "DEFAULT_ENGINE",
    "NOT_MODELLED",
    "Capacity",
    "ColdStart",
    "Deployment",
    "Engine",
    "Latency",
    "ServingMemory",
    "Speculation",
    "Step",
    "UnderLoad",
    "best_deployment",
    "broken_cut",
    "cold_start",
    "deployment_for",
    "deployments",
    "engine_for",
    "engine_notes",
    "fleet_size",
    "joint_shares",
    "latency_at",
    "latency_of_users",
    "least_devices",
    "lengths_from_stated",
    "lengths_from_trace",
    "lengths_from_workload",
    "memory",
    "outside_s",
    "prefix_hit_ratio",
    "replica_scaling",
    "require_cut",
    "shortfall",
    "steady",
    "step",
    "step_time",
    "time_residual_sigma",
    "under_load",
]
