"""What operators, passes, collectives and idle hours cost on one device: seconds, bytes of memory, watts."""

from steelyard.device.collectives import (
    COLLECTIVES,
    Links,
    collective_time,
    collective_time_over,
    fused_all_reduce_time,
    links_of,
)
from steelyard.device.dtypes import effective_compute_dtype, expanding_where_faster, peak_flop_per_s
from steelyard.device.efficiency import Efficiency, within_peak
from steelyard.device.hardware import Device, draw_efficiency, from_accelerator, kinds, load, reading_again
from steelyard.device.memory import usable_memory_bytes
from steelyard.device.power import device_power_w, host_power_w, power_w
from steelyard.device.roofline import PassTime, Rates, kernels_of, operator_time, pass_time, rates_for, time_at

NOT_MODELLED: tuple[str, ...] = (
    "clock throttling under sustained load and differences between units of one device",
    "reuse of the last-level cache between kernels, but for weights that fit it",
    "kernels of one device running at the same time",
    "separate kernels that quantise activations (taken as fused into their neighbours)",
    "reduction inside the switch (NVLink SHARP): all-reduce is reduce-scatter plus all-gather",
    "link topology inside a scale-up domain (xGMI mesh, ICI torus): every pair reaches full bandwidth",
    "congestion and oversubscription of the scale-out network",
    "sparse (2:4) rates",
)

__all__ = [
    "COLLECTIVES",
    "NOT_MODELLED",
    "Device",
    "Efficiency",
    "Links",
    "PassTime",
    "Rates",
    "collective_time",
    "collective_time_over",
    "device_power_w",
    "draw_efficiency",
    "effective_compute_dtype",
    "expanding_where_faster",
    "from_accelerator",
    "fused_all_reduce_time",
    "host_power_w",
    "kernels_of",
    "kinds",
    "links_of",
    "load",
    "operator_time",
    "pass_time",
    "peak_flop_per_s",
    "power_w",
    "rates_for",
    "reading_again",
    "time_at",
    "usable_memory_bytes",
    "within_peak",
]
