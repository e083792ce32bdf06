"""A Ray cluster: joined by its address, and what its machines have room for."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Sequence
from importlib.util import find_spec
from typing import Any

from steelyard.errors import InputError, OutsideProgramError

_ANSWER_S = 5.0
_HINT = "give HOST:PORT of its head, or auto on one of its machines"


def join(address: str) -> Any:
    """Join a Ray cluster from one of its machines, and return the module `ray`.

    Raises:
        InputError: The address is none.
        OutsideProgramError: Ray is not installed, or no cluster answers there.
    """
    if find_spec("ray") is None:
        raise OutsideProgramError("Ray is not installed; pip install 'steelyard[cluster]'")
    if address != "auto":
        _require_answer(address)
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is reported to anybody
    import ray

    try:
        ray.init(address, ignore_reinit_error=True, logging_level=logging.ERROR, log_to_driver=False)
    except (ConnectionError, RuntimeError, ValueError, TimeoutError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
        raise OutsideProgramError(f"no Ray cluster can be joined at {address}: {reason}; {_HINT}") from None
    return ray


def _require_answer(address: str) -> None:
    """Find out at once whether anybody listens there: Ray itself would try for a minute."""
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal() or "/" in host:
        raise InputError(f"--ray {address[:80]!r} is no address of a Ray cluster; {_HINT}")
    try:
        socket.create_connection((host, int(port)), timeout=_ANSWER_S).close()
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or error
        raise OutsideProgramError(f"no Ray cluster answers at {address}: {reason}; {_HINT}") from None


def cpus_of_nodes(ray: Any) -> list[int]:
    """Return the CPUs of the machines that are alive."""
    return [int(node["Resources"].get("CPU", 0)) for node in ray.nodes() if node["Alive"]]


def places(cpus_of_nodes: Sequence[int], cpus: int) -> int:
    """Return how many workers of so many CPUs the machines have room for."""
    return sum(held // cpus for held in cpus_of_nodes)


def cpus_of_worker(cpus_of_nodes: Sequence[int], workers: int) -> int:
    """Return the most CPUs that each of several workers can have, at least 1.

    Example:
        >>> [cpus_of_worker([8, 8], workers) for workers in (1, 2, 3, 4, 99)]
        [8, 8, 4, 4, 1]
    """
    fitting = (cpus for cpus in range(max(cpus_of_nodes, default=1), 0, -1) if places(cpus_of_nodes, cpus) >= workers)
    return next(fitting, 1)
