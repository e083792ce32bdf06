"""A shell script that starts a planned training by torchrun, the same on every node."""

from __future__ import annotations

import shlex

from steelyard.report.emit.comments import comment
from steelyard.report.emit.program import Program

PORT = 29500
_END = "END_OF_FILE"


def written(program: Program) -> str:
    """Return the script."""
    start = ["bash THIS-FILE"]
    if program.num_nodes > 1:
        start = ["MASTER_ADDR=first-node NODE_RANK=0 bash THIS-FILE   # and 1, 2, ... on the others"]
    return script(program, start, [], launch(program, _meeting(program)))


def _meeting(program: Program) -> list[str]:
    """Return how the nodes find each other."""
    if program.num_nodes == 1:
        return ["--standalone"]
    return [
        '--node-rank "${NODE_RANK:?the number of this node, from 0}"',
        '--master-addr "${MASTER_ADDR:?the address of node 0}"',
        f'--master-port "${{MASTER_PORT:-{PORT}}}"',
    ]


def launch(program: Program, meeting: list[str]) -> str:
    """Return the command of torchrun; a failed process restarts all, from the last checkpoint."""
    lines = [
        f"torchrun --nnodes {program.num_nodes} --nproc-per-node {program.devices_per_node} --max-restarts 3",
        *meeting,
        f"-m {shlex.join(program.words)}",
    ]
    return " \\\n  ".join(lines) + "\n"


def script(program: Program, start: list[str], directives: list[str], command: str) -> str:
    """Return a shell script: directives, heading, the file that the program reads, the command."""
    head = "#!/usr/bin/env bash\n" + "".join(f"#SBATCH {line}\n" for line in directives)
    text = program.file_text
    return (
        f"{head}{comment(program.heading(*start))}"
        "set -euo pipefail\n"
        "\n"
        f"cat > {program.file_name} <<'{_END}'\n{text}{_END}\n\n"
        f"{command}"
    )
