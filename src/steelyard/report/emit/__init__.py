"""Files that put a plan to work: engines and clusters to serve it, launchers to train it."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from steelyard.compare.jobs import TrainingPlan
    from steelyard.compare.serving.plan_result import ServingPlan

SERVING = {  # kind -> module that writes it
    "vllm": "steelyard.report.emit.vllm",
    "compose": "steelyard.report.emit.compose",
    "kubernetes": "steelyard.report.emit.kubernetes",
    "ray-serve": "steelyard.report.emit.ray_serve",
}
TRAINING = {
    "torchrun": "steelyard.report.emit.torchrun",
    "slurm": "steelyard.report.emit.slurm",
    "ray": "steelyard.report.emit.ray_train",
    "torchtitan": "steelyard.report.emit.torchtitan",
}


def serving_file(plan: ServingPlan, kind: str) -> str:
    """Return the file of `kind` (a key of `SERVING`) that runs the cheapest option of a plan.

    Raises:
        InputError: The option is one that this kind of file cannot hold; the message says which can.
        UnknownError: The weights' address, or an image for the engine and device, is not in the catalogue.
    """
    from steelyard.report.emit.replicas import replicas_of

    written: str = import_module(SERVING[kind]).written(replicas_of(plan))
    return written


def training_file(plan: TrainingPlan, kind: str) -> str:
    """Return the file of `kind` (a key of `TRAINING`) that runs the simplest of the best layouts of a plan.

    Raises:
        InputError: No trainer known here runs such a job in such a layout.
    """
    from steelyard.report.emit.program import program_of

    written: str = import_module(TRAINING[kind]).written(program_of(plan))
    return written
