"""How many replicas a load asks for: the autoscaling of `records.serving`, on live replicas."""

from __future__ import annotations

import math

from steelyard.records.serving import Autoscaling


class Scaler:
    """Looks at the load every `interval_s` and says how many replicas there should be.

    Example:
        >>> scaler = Scaler(Autoscaling(min_replicas=1, max_replicas=4, target_requests=8, downscale_delay_s=30.0))
        >>> [scaler.wanted(in_system=20, up=1), scaler.wanted(in_system=3, up=3)]  # up at once, down when it lasts
        [3, 3]
    """

    def __init__(self, policy: Autoscaling) -> None:
        self.policy = policy
        self._lower = 0  # looks in a row that found too many replicas

    def wanted(self, *, in_system: int, up: int) -> int:
        """Return how many replicas there should be, of which `up` start or serve now."""
        policy = self.policy
        wanted = min(max(math.ceil(in_system / policy.target_requests), policy.min_replicas), policy.max_replicas)
        self._lower = self._lower + 1 if wanted < up else 0
        if wanted < up:
            if self._lower <= math.ceil(policy.downscale_delay_s / policy.interval_s):
                return up
            self._lower = 0
        return wanted
