"""The processes that share a run: started as by torchrun, joined by torch.distributed."""

from __future__ import annotations

import itertools
import logging
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from steelyard.errors import InputError, OutsideProgramError, SteelyardError
from steelyard.runtime.train.job import TrainJob

if TYPE_CHECKING:
    import torch

_LOOK_S = 0.1
_WAITS = itertools.count()  # the same number in all processes: they wait for the same things in the same order


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranks:
    """This process among those of the run."""

    rank: int
    size: int
    device: torch.device

    @property
    def first(self) -> bool:
        return self.rank == 0

    def sum(self, values: torch.Tensor) -> torch.Tensor:
        """Return the sum over all processes."""
        if self.size > 1:
            import torch.distributed as dist

            dist.all_reduce(values)
        return values

    def wait(self) -> None:
        """Wait until all processes are here."""
        if self.size > 1:
            import torch.distributed as dist

            dist.barrier()

    def after_first(self, work: Callable[[], None]) -> None:
        """Let the first process do what all need, however long it takes: no limit of the collectives runs meanwhile.

        Raises:
            SteelyardError: What the first process met, in all of them.
            OutsideProgramError: The first process is gone.
        """
        if self.size == 1:
            work()
            return
        from torch.distributed.distributed_c10d import _get_default_store

        store, key = _get_default_store(), f"steelyard/{next(_WAITS)}"
        if not self.first:
            _until_set(store, key)
            if (told := self.agreed(None)) is not None:
                raise told
            return
        met: SteelyardError | None = OutsideProgramError("the first process failed before the run was prepared")
        try:
            work()
            met = None
        except SteelyardError as error:
            met = error
            raise
        finally:
            store.set(key, "done")
            self.agreed(met)

    def agreed(self, value: Any) -> Any:
        """Return what the first process holds."""
        if self.size == 1:
            return value
        import torch.distributed as dist

        held = [value]
        dist.broadcast_object_list(held, src=0)
        return held[0]


def _until_set(store: torch.distributed.Store, key: str) -> None:
    try:
        while not store.check([key]):
            time.sleep(_LOOK_S)
    except RuntimeError:  # the store lives with the first process, where no launcher holds it
        raise OutsideProgramError("the first process ended before the run was prepared") from None


def is_worker() -> bool:
    """Tell whether this process was started by torchrun, or by `launch`."""
    return "RANK" in os.environ and "WORLD_SIZE" in os.environ


def rank() -> int:
    """Return this process's rank, 0 where it is alone."""
    return int(os.environ.get("RANK", "0"))


@contextmanager
def joined(job: TrainJob) -> Iterator[Ranks]:
    """Join the other processes, if there are any: NCCL between GPUs, gloo between CPUs.

    Raises:
        InputError: There is no GPU, or fewer than processes on this machine.
    """
    import torch

    if job.device == "cuda" and not torch.cuda.is_available():
        raise InputError("device: PyTorch finds no GPU here; use `device: cpu`, or install a build of PyTorch for it")
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if job.batch < size:
        raise InputError(f"batch: {job.batch} sequences for {size} processes; allowed: at least 1 each")
    on_gpu = job.device != "cpu" and torch.cuda.is_available()
    device = torch.device("cpu")
    if on_gpu:
        if int(os.environ.get("LOCAL_WORLD_SIZE", "1")) > torch.cuda.device_count():
            raise InputError(f"processes: {torch.cuda.device_count()} GPUs here; allowed: one process each")
        device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
        torch.cuda.set_device(device)
        torch.backends.cuda.matmul.allow_tf32 = True
    elif job.threads is not None:
        torch.set_num_threads(job.threads)
    if size == 1:
        yield Ranks(rank=0, size=1, device=device)
        return
    import torch.distributed as dist

    mine = not dist.is_initialized()  # Ray Train has joined its workers already
    if mine:
        dist.init_process_group("nccl" if on_gpu else "gloo")
    try:
        yield Ranks(rank=dist.get_rank(), size=size, device=device)
    finally:
        if mine:
            dist.destroy_process_group()


def launch(processes: int, arguments: Sequence[str]) -> int:
    """Run `python -m steelyard ARGUMENTS` in several processes of one run on this machine; return the exit code.

    PyTorch's elastic launcher does it: the same as `torchrun --nproc-per-node`.
    """
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    logging.getLogger("torch.distributed.elastic").setLevel(logging.CRITICAL)  # each process says what it met
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // processes)))
    config = LaunchConfig(
        min_nodes=1, max_nodes=1, nproc_per_node=processes, rdzv_backend="c10d", rdzv_endpoint="localhost:0",
        run_id=f"steelyard-{os.getpid()}", max_restarts=0, monitor_interval=0.1,
    )  # fmt: skip
    try:
        elastic_launch(config, sys.executable)("-m", "steelyard", *arguments)
    except ChildFailedError as error:
        _, failure = error.get_first_failure()
        return failure.exitcode if failure.exitcode > 0 else 4
    except SignalException:
        return 130
    return 0
