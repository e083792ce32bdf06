"""Watts of a device and of its share of the host."""

from __future__ import annotations

import numpy as np

from steelyard.device.efficiency import Efficiency
from steelyard.device.hardware import Device
from steelyard.units import Array


def power_w(device: Device, busy_ratio: Array, *, mfu_ratio: Array = 0.0) -> Array:
    """Return the mean IT power per device, its host share included, before PUE [W].

    P = idle + (TDP - idle) * busy * min(1, active_power_ratio + compute_power_ratio * mfu) + TDP *
    host_power_ratio

    Args:
        busy_ratio: Share of the time in which kernels run, 0 to 1.
        mfu_ratio: FLOP utilisation while they run; 0 is work that only moves memory, such as small-batch
            decoding.

    Returns:
        Watts, in the broadcast shape; a device never draws more than its TDP.

    Assumes:
        The host draws the same, busy or not.

    Source:
        Fitted to mean GPU power of serving on H100 and B200; catalogue, calibration/device.toml.

    Example:
        >>> from steelyard.device import load
        >>> h100 = load("h100")
        >>> bool(power_w(h100, 0.0) < power_w(h100, 1.0) < power_w(h100, 1.0, mfu_ratio=0.4) < 2 * 700)
        True
    """
    card, reached = device.accelerator, device.efficiency
    alone = device_power_w(card.tdp_w, card.idle_w, reached, busy_ratio, mfu_ratio=mfu_ratio)
    return alone + host_power_w(device)


def device_power_w(
    tdp_w: Array, idle_w: Array, reached: Efficiency, busy_ratio: Array, *, mfu_ratio: Array = 0.0
) -> Array:
    """Return the mean power of the accelerator alone, without its host [W]; arguments as for `power_w`."""
    drawn_ratio = np.minimum(1.0, reached.active_power_ratio + reached.compute_power_ratio * mfu_ratio)
    watts: Array = idle_w + (tdp_w - idle_w) * busy_ratio * drawn_ratio
    return watts


def host_power_w(device: Device) -> Array:
    """Return the host's share of one accelerator: processors, memory, NICs, fans and supplies [W]."""
    watts: Array = device.accelerator.tdp_w * device.efficiency.host_power_ratio
    return watts
