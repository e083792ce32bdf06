"""Engines on the machines of a Ray cluster: each is held by an actor there, and asked over HTTP by the front door."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
from typing import Any

from steelyard.errors import OutsideProgramError, SteelyardError
from steelyard.runtime.serve.engine_process import EngineProcess
from steelyard.runtime.serve.spec import ReplicaSpec

_STOP_S = 15.0


class _EngineActor:
    """The process of one engine, on the machine that Ray has chosen for it; it ends with this actor."""

    def __init__(self) -> None:
        self._engine = EngineProcess()

    async def start(self, spec: ReplicaSpec) -> str:
        import ray

        return await self._engine.start(dataclasses.replace(spec, host=ray.util.get_node_ip_address()))

    async def ended(self) -> str:
        return await self._engine.ended()

    async def stop(self) -> None:
        await self._engine.stop()


class ClusterEngine:
    """One engine on whichever machine of a cluster has room, as the front door holds it."""

    def __init__(self, ray: Any) -> None:
        self._ray = ray
        self._held: Any = None
        self._last_words = "no machine of the cluster had room for it"

    async def start(self, spec: ReplicaSpec) -> str:
        """Find a machine with room, start the engine there and return its address.

        Raises:
            InputError: The model cannot be converted for it.
            OutsideProgramError: The machine was lost.
        """
        actor = self._ray.remote(_EngineActor).options(
            num_cpus=spec.threads, num_gpus=spec.gpus, scheduling_strategy="SPREAD", max_restarts=0
        )
        self._held = actor.remote()
        try:
            url = str(await self._held.start.remote(spec))
        except self._ray.exceptions.RayError as error:
            cause = getattr(error, "cause", None)  # as it was raised there
            raise (cause if isinstance(cause, SteelyardError) else OutsideProgramError(_lost(error))) from None
        self._last_words = ""
        return url

    async def ended(self) -> str:
        """Wait until it has ended, and return its last words."""
        if self._last_words:
            return self._last_words
        try:
            return str(await self._held.ended.remote())
        except self._ray.exceptions.RayError as error:
            return _lost(error)

    async def stop(self) -> None:
        """End it, and give its place on the cluster back."""
        held, self._held = self._held, None
        if held is None:
            return
        if not self._last_words:
            with contextlib.suppress(self._ray.exceptions.RayError, TimeoutError):
                async with asyncio.timeout(_STOP_S):
                    await held.stop.remote()
                    self._last_words = str(await held.ended.remote())
        self._ray.kill(held)


def _lost(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"its machine or process was lost: {(lines or [type(error).__name__])[-1][:300]}"
