"""Threads of the arithmetic libraries: how many, and how long an idle one spins before it sleeps."""

from __future__ import annotations

import os

_SPIN = ("GOMP_SPINCOUNT", "3000")


def thread_variables(threads: int) -> dict[str, str]:
    """Return the environment of a process that computes with so many threads.

    A thread of GNU OpenMP that waits for the others spins for milliseconds unless told otherwise. Where another program
    wants the core, that stops the very thread waited for: a training step of two threads on two busy cores took some 60
    times as long as with short spins. On idle cores a short spin costs a wake-up of some microseconds.
    """
    return {"OMP_NUM_THREADS": str(threads), "OPENBLAS_NUM_THREADS": str(threads)} | dict([_SPIN])


def spin_shortly() -> None:
    """Let the threads of this process sleep soon, unless the user says otherwise; PyTorch is imported after it."""
    os.environ.setdefault(*_SPIN)
