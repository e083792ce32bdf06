"""A script of Ray Train that runs a planned training on a Ray cluster."""

from __future__ import annotations

from steelyard.report.emit.comments import comment
from steelyard.report.emit.program import Program

_TEMPLATE = '''\
{heading}
import os
import runpy
import socket
import sys
from pathlib import Path

from ray import train
from ray.train.collective import barrier, broadcast_from_rank_zero
from ray.train.v2.api.data_parallel_trainer import DataParallelTrainer

FILE = """\\
{text}"""


def run(config: dict) -> None:
    """Run the trainer in this worker, with the rank that Ray gave it."""
    context, folder = train.get_context(), Path(config["folder"])
    first = context.get_world_rank() == 0
    if first:
        (folder / "{name}").write_text(FILE, encoding="utf-8")
    address = broadcast_from_rank_zero(free_address() if first else None)
    os.environ |= {{
        "MASTER_ADDR": address[0],
        "MASTER_PORT": str(address[1]),
        "RANK": str(context.get_world_rank()),
        "LOCAL_RANK": str(context.get_local_rank()),
        "WORLD_SIZE": str(context.get_world_size()),
        "LOCAL_WORLD_SIZE": str(context.get_local_world_size()),
    }}
    barrier()
    os.chdir(folder)
    sys.path.insert(0, str(folder))
    sys.argv = {argv!r}
    try:
        runpy.run_module({module!r}, run_name="__main__", alter_sys=True)
    except SystemExit as end:  # a command line ends so; only a failure is one
        if end.code:
            raise RuntimeError(f"the trainer ended with exit code {{end.code}}") from end


def free_address() -> tuple[str, int]:
    with socket.socket() as probe:
        probe.bind(("", 0))
        return socket.gethostbyname(socket.gethostname()), probe.getsockname()[1]


if __name__ == "__main__":
    folder = Path(os.environ.get("RUN_FOLDER", "run")).resolve()  # on a file system that all nodes see
    folder.mkdir(parents=True, exist_ok=True)
    DataParallelTrainer(
        run,
        train_loop_config={{"folder": str(folder)}},
        scaling_config=train.ScalingConfig(num_workers={workers}, use_gpu=True),
        run_config=train.RunConfig(
            name="planned",
            storage_path=str(folder / "ray"),
            failure_config=train.FailureConfig(max_failures=3),  # each goes on from the last checkpoint
        ),
    ).fit()
'''


def written(program: Program) -> str:
    """Return the script."""
    start = (
        "pip install 'ray[train]'",
        "ray start --head   # and on further nodes: ray start --address HEAD:6379",
        "ray job submit --working-dir . -- python THIS-FILE",
    )
    text = program.file_text.replace("\\", "\\\\").replace('"""', '\\"\\"\\"')
    return _TEMPLATE.format(
        heading=comment(program.heading(*start)),
        text=text,
        name=program.file_name,
        argv=list(program.words),
        module=program.words[0],
        workers=program.num_devices,
    )
