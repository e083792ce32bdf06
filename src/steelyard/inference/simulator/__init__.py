"""Simulates serving event by event: schedulers, KV blocks, prefix caches, routers, failures, percentiles.

Numba is imported, and the event loop compiled or taken from its cache, when `simulate` first runs.
"""

from steelyard.inference.simulator.fleet import Fleet, Replica, replica_for, transfer_s_per_token
from steelyard.inference.simulator.load import Load, burst_load, closed_load, open_load
from steelyard.inference.simulator.replay import prefix_hits
from steelyard.inference.simulator.result import METRICS, Distribution, ServingResult
from steelyard.inference.simulator.run import prepare, simulate
from steelyard.inference.simulator.streams import streams_load
from steelyard.inference.simulator.table import StepTable, step_table, tabulate
from steelyard.inference.simulator.timeline import Timeline
from steelyard.inference.simulator.trace import trace_load

NOT_MODELLED: tuple[str, ...] = (
    "users who leave, and requests that are cancelled",
    "prefixes that begin in an answer: a trace names the blocks of prompts only",
    "sharing the first blocks of a prompt while its end is still computed",
    "contention for the network when KV caches travel, and how long a prefill replica holds them",
    "chance in what a draft gets accepted: a step is that of one token, the mean, and prompts wait for no longer one",
    "memory of a draft, and the room that its proposals take in a step",
    "chunks of one step that differ in length, and dp ranks or micro-batches that differ in load",
    "a fleet that is degraded rather than failed; failures of more than one replica at once",
    "the network between user and server",
)

__all__ = [
    "METRICS",
    "NOT_MODELLED",
    "Distribution",
    "Fleet",
    "Load",
    "Replica",
    "ServingResult",
    "StepTable",
    "Timeline",
    "burst_load",
    "closed_load",
    "open_load",
    "prefix_hits",
    "prepare",
    "replica_for",
    "simulate",
    "step_table",
    "streams_load",
    "tabulate",
    "trace_load",
    "transfer_s_per_token",
]
