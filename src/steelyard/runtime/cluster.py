"""A Ray cluster: joined by its address, and what its machines have room for."""

from __future__ import annotations

import logging
import os
import socket
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TypeAlias

from steelyard.errors import InputError, OutsideProgramError, first_line

Resources: TypeAlias = dict[str, float]
"""Amounts by the names that Ray gives them: CPU, GPU, ..."""

_ANSWER_S, _NOTICE_S = 5.0, 30.0
_HINT = "give HOST:PORT of its head, or auto on one of its machines"


@contextmanager
def joined(address: str) -> Iterator[Any]:
    """Join a Ray cluster from one of its machines, and yield the module `ray`.

    Meanwhile nothing goes to stdout, which is for answers: Ray's own threads print there when a machine is lost.

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
        ray.init(address, logging_level=logging.CRITICAL, log_to_driver=False)
    except (ConnectionError, RuntimeError, ValueError, TimeoutError) as error:
        raise OutsideProgramError(f"no Ray cluster can be joined at {address}: {first_line(error)}; {_HINT}") from None
    try:
        with Path(os.devnull).open("w", encoding="utf-8") as nowhere, redirect_stdout(nowhere):
            yield ray
    finally:
        ray.shutdown()


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


def nodes_of(ray: Any) -> list[Resources]:
    """Return the resources of the machines that are alive, such as 8 CPU and 1 GPU."""
    return [dict(node["Resources"]) for node in ray.nodes() if node["Alive"]]


def changed_nodes(ray: Any, before: list[Resources]) -> list[Resources]:
    """Return the machines once Ray knows that one was lost, which takes it a while; as they are if none was."""
    until = time.monotonic() + _NOTICE_S
    while len(now := nodes_of(ray)) == len(before) and time.monotonic() < until:
        time.sleep(0.5)
    return now


def places(nodes: Sequence[Resources], worker: Resources) -> int:
    """Return how many workers the machines have room for.

    Example:
        >>> places([{"CPU": 8.0, "GPU": 1.0}, {"CPU": 8.0}], {"CPU": 2.0})
        8
        >>> places([{"CPU": 8.0, "GPU": 1.0}, {"CPU": 8.0}], {"CPU": 2.0, "GPU": 1.0})
        1
    """
    return sum(min(int(node.get(name, 0.0) // amount) for name, amount in worker.items()) for node in nodes)


def cpus_of_worker(nodes: Sequence[Resources], workers: int) -> int:
    """Return the most CPUs that each of several workers can have, at least 1.

    Example:
        >>> [cpus_of_worker([{"CPU": 8.0}, {"CPU": 8.0}], workers) for workers in (1, 2, 3, 4, 99)]
        [8, 8, 4, 4, 1]
    """
    most = int(max((node.get("CPU", 0.0) for node in nodes), default=0.0))
    return next((cpus for cpus in range(most, 0, -1) if places(nodes, {"CPU": float(cpus)}) >= workers), 1)
