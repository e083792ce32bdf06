"""Simulates serving event by event: schedulers, KV blocks, prefix caches, routers, failures, percentiles.

Numba is imported, and the event loop compiled or taken from its cache, when `simulate` first runs.
"""

from steelyard.inference.simulator.fleet import Fleet, Replica, replica_for
from steelyard.inference.simulator.load import Load, burst_load, closed_load, open_load
from steelyard.inference.simulator.result import Distribution, RequestEvents, ServingResult
from steelyard.inference.simulator.run import simulate
from steelyard.inference.simulator.table import StepTable, step_table, tabulate

__all__ = [
    "Distribution",
    "Fleet",
    "Load",
    "Replica",
    "RequestEvents",
    "ServingResult",
    "StepTable",
    "burst_load",
    "closed_load",
    "open_load",
    "replica_for",
    "simulate",
    "step_table",
    "tabulate",
]
