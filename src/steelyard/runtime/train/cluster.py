"""A training run on a Ray cluster: the same job in Ray Train's workers, resumed when a machine is lost."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from steelyard.errors import OutsideProgramError, SteelyardError
from steelyard.records.training import Ended, Event, read_events
from steelyard.runtime.cluster import Resources, changed_nodes, cpus_of_worker, joined, nodes_of, places
from steelyard.runtime.train import checkpoint
from steelyard.runtime.train.event_log import EVENTS, read_log
from steelyard.runtime.train.job import TrainJob
from steelyard.runtime.train.prepare import CHECKPOINTS, prepare
from steelyard.runtime.train.run import train
from steelyard.runtime.train.stop import first_signal
from steelyard.runtime.train.watch import Watch

_FAILURES_WITHOUT_PROGRESS = 5
_LOOK_S = 0.5
_STOP = ".stop"  # a file that asks the workers to end the run


def train_on(address: str, job: TrainJob, watch: Watch, told: Callable[[str], None]) -> Ended:
    """Train in `job.processes` workers of a Ray cluster, and return how it ended.

    All machines see `job.out` and the text at the same place. When a worker is lost, the run goes on from the last
    checkpoint, in as many workers as the machines left have room for. The first SIGINT or SIGTERM ends it after its
    step, saved.

    Args:
        address: Of the cluster; this is one of its machines.
        job: What to train, on what, until when.
        watch: Who looks on. All but `on_event` is called in a worker.
        told: Called with a line for people when workers are lost.

    Raises:
        InputError: The job cannot be carried out as stated, or the address is none.
        SteelyardError: The loss is no number any more.
        OutsideProgramError: Ray is not installed, no cluster answers, workers fail again and again, or a full disk.
    """
    with joined(address) as ray:
        prepare(job)
        stop = job.out.resolve() / _STOP
        stop.unlink(missing_ok=True)
        inner = replace(watch, on_event=None, stop_asked=stop.exists)
        with _telling(job.out / EVENTS, watch.on_event), first_signal(stop.touch), ThreadPoolExecutor(1) as aside:
            # Not in the main thread, where Ray Train would take the signals: at one it drops the run as it is.
            aside.submit(_until_ended, ray, job, inner, told).result()
        stop.unlink(missing_ok=True)
    ended = read_log(job.out)[-1]
    assert isinstance(ended, Ended)
    return ended


def _until_ended(ray: Any, job: TrainJob, watch: Watch, told: Callable[[str], None]) -> None:
    gpu = job.device != "cpu" and ray.cluster_resources().get("GPU", 0) > 0
    nodes = nodes_of(ray)
    worker = {"CPU": float(job.threads or (1 if gpu else cpus_of_worker(nodes, job.processes)))}
    worker |= {"GPU": 1.0} if gpu else {}
    workers, failures, saved = job.processes, 0, checkpoint.latest(job.out / CHECKPOINTS)
    while trouble := _fit(job, watch, workers, worker):
        before, saved = saved, checkpoint.latest(job.out / CHECKPOINTS)
        failures = failures + 1 if saved == before else 1
        if failures == _FAILURES_WITHOUT_PROGRESS:
            raise OutsideProgramError(f"{workers} workers failed {failures} times in a row: {trouble}")
        nodes = changed_nodes(ray, nodes)
        workers = max(min(job.processes, places(nodes, worker)), 1)
        told(f"workers failed ({trouble}); {workers} of {job.processes} go on from {saved or 'the start'}")


def _fit(job: TrainJob, watch: Watch, workers: int, worker: Resources) -> str:
    """Let Ray Train run the job once; return what was lost on the way, if anything.

    Raises:
        SteelyardError: As a worker raised it.
    """
    from ray.train import FailureConfig, RunConfig, ScalingConfig
    from ray.train.torch import TorchTrainer

    here = Path.cwd()

    def work() -> None:
        with contextlib.chdir(here):  # paths of a job are relative to it
            train(job, watch)

    trainer = TorchTrainer(
        work,
        scaling_config=ScalingConfig(num_workers=workers, use_gpu="GPU" in worker, resources_per_worker=worker),
        run_config=RunConfig(
            name=".ray",
            storage_path=str(job.out.resolve()),
            failure_config=FailureConfig(max_failures=0, controller_failure_limit=0),
        ),
    )
    try:
        trainer.fit()
    except Exception as error:  # noqa: BLE001 - whatever Ray has for it, by version
        raised = [getattr(one, "_base_exc", one) for one in getattr(error, "worker_failures", {}).values()]
        ours = next((one for one in raised if isinstance(one, SteelyardError)), None)
        if ours is not None:
            raise ours from None
        return _first_line(next(iter(raised), error))
    return ""


def _first_line(error: BaseException) -> str:
    lines = [line for line in str(error).splitlines() if line.strip() and not line.startswith("Training failed")]
    return f"{type(error).__name__}: {lines[0].strip()[:200] if lines else ''}"


@contextmanager
def _telling(log: Path, tell: Callable[[Event], None] | None) -> Iterator[None]:
    """Tell the events that workers add to a log, all of them by the end of the block."""
    over = threading.Event()
    read_bytes = log.stat().st_size if log.exists() else 0

    def tell_added() -> None:
        nonlocal read_bytes
        if tell is None or not log.exists():
            return
        with log.open("rb") as file:
            file.seek(read_bytes)
            added = file.read()
        whole = added[: added.rfind(b"\n") + 1]
        read_bytes += len(whole)
        for event in read_events(whole.decode().splitlines()):
            tell(event)

    def follow() -> None:
        while not over.wait(_LOOK_S):
            tell_added()

    thread = threading.Thread(target=follow)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        tell_added()
