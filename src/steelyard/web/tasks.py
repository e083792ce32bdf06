"""Long work beside the page: each task is a process of its own, so that cancelling it really stops it."""

from __future__ import annotations

import multiprocessing
import secrets
import threading
import time
from collections import OrderedDict
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from steelyard.errors import SteelyardError
from steelyard.web import work

MOST_RUNNING = 2
MOST_KEPT = 12
_STOP_S = 1.0


class BusyError(SteelyardError):
    """No more tasks at a time."""


@dataclass(slots=True, kw_only=True)
class Task:
    """One task and what it last said."""

    kind: str
    process: Any
    receiver: Connection
    begun_s: float = field(default_factory=time.monotonic)
    status: str = "running"  # then done, failed or cancelled
    said: dict[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        return {"kind": self.kind, "status": self.status, "elapsed_s": time.monotonic() - self.begun_s, **self.said}


class Tasks:
    """The tasks of one server."""

    def __init__(self, folder: Path) -> None:
        """Take the folder for pasted models."""
        self.folder = folder
        methods = multiprocessing.get_all_start_methods()
        self._context = multiprocessing.get_context("forkserver" if "forkserver" in methods else "spawn")
        if "forkserver" in methods:
            multiprocessing.set_forkserver_preload([work.__name__])
        self._tasks: OrderedDict[str, Task] = OrderedDict()
        self._lock = threading.Lock()

    def start(self, kind: str, state: Any, options: Any) -> str:
        """Start a task and return its id.

        Raises:
            BusyError: As many as may run are running.
            InputError: No such kind of task.
        """
        work.check(kind)
        with self._lock:
            for task in self._tasks.values():
                self._hear(task)
            if sum(task.status == "running" for task in self._tasks.values()) >= MOST_RUNNING:
                raise BusyError(f"{MOST_RUNNING} searches are running; cancel one, or wait for it")
            receiver, sender = self._context.Pipe(duplex=False)
            arguments = (kind, state, options, str(self.folder), sender)
            process = self._context.Process(target=work.run, args=arguments, daemon=True)  # type: ignore[attr-defined]
            process.start()
            sender.close()
            task_id = secrets.token_urlsafe(9)
            self._tasks[task_id] = Task(kind=kind, process=process, receiver=receiver)
            self._forget_old()
            return task_id

    def look(self, task_id: str) -> Task | None:
        """Return a task with what it said meanwhile; None where there is none."""
        with self._lock:
            task = self._tasks.get(task_id)
            if task is not None:
                self._hear(task)
            return task

    def cancel(self, task_id: str) -> Task | None:
        """Stop a task; its process is gone when this returns."""
        with self._lock:
            task = self._tasks.get(task_id)
            if task is not None:
                self._stop(task)
            return task

    def close(self) -> None:
        """Stop all tasks."""
        with self._lock:
            for task in self._tasks.values():
                self._stop(task)

    def _hear(self, task: Task) -> None:
        if task.status != "running":
            return
        try:
            while task.receiver.poll():
                task.status, task.said = task.receiver.recv()
        except EOFError:  # it ended without a last word
            if task.status == "running":
                task.status, task.said = "failed", {"error": "the search ended unexpectedly; the server goes on"}
        if task.status != "running":
            self._end(task)

    def _stop(self, task: Task) -> None:
        if task.status == "running":
            task.status, task.said = "cancelled", {}
            self._end(task)

    def _end(self, task: Task) -> None:
        task.receiver.close()
        task.process.terminate()
        task.process.join(_STOP_S)
        if task.process.is_alive():
            task.process.kill()
            task.process.join()

    def _forget_old(self) -> None:
        over = len(self._tasks) - MOST_KEPT
        for name in [name for name, task in self._tasks.items() if task.status != "running"][: max(over, 0)]:
            del self._tasks[name]
