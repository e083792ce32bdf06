"""What was used, measured or predicted alike: the only thing that `economics` prices."""

from __future__ import annotations

from dataclasses import dataclass

from steelyard.units import Array


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """Resources used over a stated time; arrays broadcast (months, draws).

    `device_s` is paid-for device time, idle included. `it_energy_j` is drawn by devices and their hosts, before PUE.
    """

    device_s: Array = 0.0
    busy_device_s: Array = 0.0
    it_energy_j: Array = 0.0
    input_tokens: Array = 0.0  # not served from a cache
    cached_input_tokens: Array = 0.0
    output_tokens: Array = 0.0
    requests: Array = 0.0
    training_tokens: Array = 0.0
