"""What one replica is to run, handed to its process as JSON; and the few steps every such process takes."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from steelyard.errors import InputError, unknown

Reads = Callable[[str], Any]
"""Turns the text of an option into what an engine takes; ValueError where it cannot."""

KEY_VARIABLE = "STEELYARD_REPLICA_KEY"


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplicaSpec:
    """One replica: a model (a folder or file; empty for an engine without one), where and how it is served.

    Only who has the key may ask a replica: it is reached by others than the front door, which holds the limits. It is
    handed on by an environment variable, which other users of the machine cannot read.
    """

    engine: str
    model: str
    name: str  # as clients ask for it
    slots: int  # requests at once; more wait
    context_tokens: int  # of one request; 0: as the model states
    threads: int  # on a CPU; 0: its share of the machine
    gpus: int = 0  # to reserve on a cluster
    host: str = "127.0.0.1"
    port: int = 0
    key: str = ""
    options: Mapping[str, str] = field(default_factory=dict)

    def to_json(self) -> str:
        """Return all but the key."""
        return json.dumps(dataclasses.asdict(dataclasses.replace(self, key="")))


def options_of(spec: ReplicaSpec, known: Mapping[str, Reads] | None) -> dict[str, Any]:
    """Return the options of an engine as it takes them.

    Args:
        spec: Its options are text.
        known: All that the engine has, and how each is read; None where it reads them itself.

    Raises:
        InputError: An unknown option, or one that cannot be read.
    """
    if known is None:
        return dict(spec.options)
    taken: dict[str, Any] = {}
    for name, text in spec.options.items():
        if name not in known:
            none = f"option {name!r}: {spec.engine} has none"
            raise InputError(unknown(f"option of {spec.engine}", name, known) if known else none)
        try:
            taken[name] = known[name](text)
        except ValueError:
            raise InputError(f"option {name} of {spec.engine}: {text!r} cannot be read") from None
    return taken


def module_command(module: str, spec: ReplicaSpec) -> list[str]:
    """Return the command line of an engine that is a module of this package."""
    return [sys.executable, "-m", module, spec.to_json()]


def from_command_line() -> ReplicaSpec:
    """Return the replica that this process is to be; it ends with the process that started it."""
    raw: dict[str, Any] = json.loads(sys.argv[1])
    threading.Thread(target=_end_with_parent, daemon=True).start()
    return ReplicaSpec(**raw | {"key": os.environ.pop(KEY_VARIABLE, "")})


def _end_with_parent() -> None:
    while os.read(0, 4096):  # ends when the other end of the pipe is closed, however that process ended
        pass
    os.kill(os.getpid(), signal.SIGTERM)
