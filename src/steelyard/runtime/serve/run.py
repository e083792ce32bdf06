"""Serving: replicas started, the door opened, and everything ended in order."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import ipaddress
import os
import secrets
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import uvicorn

from steelyard.errors import InputError
from steelyard.records.serving import Autoscaling, Routing
from steelyard.runtime.cluster import Resources, cpus_of_worker, joined, nodes_of
from steelyard.runtime.serve.door import Door
from steelyard.runtime.serve.engine_process import EngineProcess, RunningEngine
from steelyard.runtime.serve.engines import engine
from steelyard.runtime.serve.fleet import Fleet
from steelyard.runtime.serve.keeper import Keeper
from steelyard.runtime.serve.limits import Limits
from steelyard.runtime.serve.pool import Pool
from steelyard.runtime.serve.routing import Replica, policy
from steelyard.runtime.serve.spec import ReplicaSpec, options_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """What is to be served, where and how."""

    spec: ReplicaSpec
    replicas: int = 1  # at first
    scaling: Autoscaling | None = None
    ray: str = ""  # address of a Ray cluster that the replicas run on
    host: str = "127.0.0.1"
    port: int = 8000
    routing: Routing = "least-requests"
    limits: Limits = field(default_factory=Limits)
    api_key: str = ""
    start_s: float = 300.0
    drain_s: float = 30.0

    @property
    def most_replicas(self) -> int:
        return self.replicas if self.scaling is None else self.scaling.max_replicas

    def check(self) -> None:
        """Refuse what must not be served.

        Raises:
            InputError: No replicas, an option that the engine does not have, GPUs of no cluster, or an address that
                others can reach without an API key.
        """
        if not 1 <= self.replicas <= self.most_replicas <= 256:
            raise InputError(f"replicas: {self.most_replicas} is not between 1 and 256")
        options_of(self.spec, engine(self.spec.engine).OPTIONS)
        if self.spec.gpus and not self.ray:
            raise InputError("gpus: they are reserved on a Ray cluster; give --ray, or leave --gpus out")
        if not _is_loopback(self.host) and not self.api_key:
            raise InputError(
                f"host {self.host}: others can reach it; set an API key in STEELYARD_API_KEY, or serve on 127.0.0.1"
            )


def serve(service: Service, told: Callable[[str], None]) -> None:
    """Serve until SIGINT or SIGTERM; then answer what was begun, for `drain_s` at most, and end the replicas.

    Args:
        service: What, where and how.
        told: Called with a line for people whenever something happens.

    Raises:
        InputError: The service must not be opened so, or the port is taken.
        OutsideProgramError: A replica does not start.
    """
    service.check()
    with contextlib.suppress(KeyboardInterrupt), _machines(service) as (nodes, new_engine):
        threads = service.spec.threads or cpus_of_worker(nodes, service.most_replicas)
        spec = dataclasses.replace(service.spec, key=secrets.token_urlsafe(24), threads=threads)
        asyncio.run(_serve(service, spec, new_engine, told))


async def _serve(
    service: Service, spec: ReplicaSpec, new_engine: Callable[[], RunningEngine], told: Callable[[str], None]
) -> None:
    me = asyncio.current_task()
    assert me is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, me.cancel)
    pool = Pool(policy(service.routing), limit=spec.slots, max_queue=service.limits.max_queue_requests)
    pool.replicas = [Replica(url="", index=index, ready=False) for index in range(service.most_replicas)]
    connector = aiohttp.TCPConnector(limit=0, force_close=True)  # engines close idle connections as they like
    async with aiohttp.ClientSession(
        connector=connector,
        timeout=aiohttp.ClientTimeout(total=None),
        headers={"content-type": "application/json", "authorization": f"Bearer {spec.key}"},
        read_bufsize=2**20,
    ) as session:
        keepers = [
            Keeper(spec, replica, pool, new_engine=new_engine, session=session, start_s=service.start_s, told=told)
            for replica in pool.replicas
        ]
        fleet = Fleet(keepers, pool, told)
        try:
            told(f"starting {service.replicas} x {spec.engine} for {spec.name} ...")
            await fleet.start(service.replicas, service.scaling)
            door = Door(name=spec.name, pool=pool, session=session, limits=service.limits, api_key=service.api_key)
            await _open(door.app(), service, told)
        except asyncio.CancelledError:
            told("stopped")
        finally:
            await fleet.stop()


@contextmanager
def _machines(service: Service) -> Iterator[tuple[list[Resources], Callable[[], RunningEngine]]]:
    """Yield where the replicas run, and what makes an engine there: this machine, or a Ray cluster."""
    if not service.ray:
        yield [{"CPU": float(os.cpu_count() or 1)}], EngineProcess
        return
    from steelyard.runtime.serve.cluster import ClusterEngine

    with joined(service.ray) as ray:
        yield nodes_of(ray), lambda: ClusterEngine(ray)


class _Server(uvicorn.Server):
    """A server that says when its address is open, and when it stops taking requests."""

    def __init__(self, config: uvicorn.Config, told: Callable[[str], None], opened: str) -> None:
        super().__init__(config)
        self.told, self.opened = told, opened

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self.told(self.opened)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self.told("no longer taking requests; those begun are answered first (again to stop at once)")
        await super().shutdown(sockets)


async def _open(app: Any, service: Service, told: Callable[[str], None]) -> None:
    config = uvicorn.Config(
        app, host=service.host, port=service.port, log_level="critical", access_log=False, lifespan="off",
        timeout_graceful_shutdown=max(round(service.drain_s), 1), backlog=4096,
    )  # fmt: skip
    server = _Server(config, told, f"serving {service.spec.name} at http://{service.host}:{service.port}/v1")
    for number in (signal.SIGINT, signal.SIGTERM):  # uvicorn hands a signal on when it is done: to nobody
        asyncio.get_running_loop().remove_signal_handler(number)
        signal.signal(number, lambda *_: None)
    try:
        await server.serve()
    except SystemExit:
        raise InputError(
            f"{service.host}:{service.port}: cannot be opened, another program may use it; give another --port"
        ) from None
    told("stopped")


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
