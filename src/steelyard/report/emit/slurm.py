"""A batch script of Slurm for a planned training: one torchrun a node."""

from __future__ import annotations

import math
import re

from steelyard.report.emit.program import Program
from steelyard.report.emit.torchrun import PORT, launch, script

_HOUR = 3600.0
_SLACK = 1.1  # over the p90 of the time to train


def written(program: Program) -> str:
    """Return the script."""
    hours = math.ceil(program.wall_s.p90 * _SLACK / _HOUR)
    directives = [
        f"--job-name={re.sub(r'[^A-Za-z0-9_.-]+', '-', program.won.job.model_ref)[-40:]}",
        f"--nodes={program.num_nodes}",
        "--ntasks-per-node=1",
        f"--gpus-per-node={program.devices_per_node}",
        "--exclusive",
        f"--time={hours}:00:00",
        "--requeue",
        "--open-mode=append",
        "--output=%x-%j.log",
    ]
    meeting = [
        '--rdzv-backend c10d --rdzv-id "$SLURM_JOB_ID"',
        f'--rdzv-endpoint "$head_node:{PORT}"',
    ]
    command = (
        'head_node=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)\n'
        f"srun --kill-on-bad-exit=1 {launch(program, meeting)}"
    )
    return script(program, ["sbatch THIS-FILE"], directives, command)
