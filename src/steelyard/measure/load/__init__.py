"""Load on any OpenAI-compatible address: when requests are due, how they are sent, what came back."""

from steelyard.measure.load.client import Endpoint, find_endpoint
from steelyard.measure.load.plan import LoadPlan, closed_plan, open_plan, trace_plan
from steelyard.measure.load.run import measure_load, run_loop
from steelyard.measure.load.sweep import Sweep, sweep

__all__ = [
    "Endpoint",
    "LoadPlan",
    "Sweep",
    "closed_plan",
    "find_endpoint",
    "measure_load",
    "open_plan",
    "run_loop",
    "sweep",
    "trace_plan",
]
