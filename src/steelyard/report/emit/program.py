"""Which program trains a planned job, with which files: torchtitan the models it has, `steelyard train` the others."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from steelyard import __version__, catalog
from steelyard.catalog import Row
from steelyard.compare.jobs import TrainingPlan, TrainingPrediction, predict_training
from steelyard.compare.jobs.job import PRETRAIN
from steelyard.compare.jobs.layouts import layout_dict, layout_text
from steelyard.errors import InputError, UnknownError
from steelyard.records.estimate import Estimate, estimate
from steelyard.report.emit.replicas import weights_of
from steelyard.units import format_quantity

TRAINER = "torchtitan"
ASSETS = "assets"  # the folder of what is downloaded
_CUT = ("tp", "pp", "cp", "ep")  # ways of splitting that `steelyard train` does not have


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """The simplest layout of a plan that is as fast as its winner but for noise, as a program run on every device."""

    won: TrainingPrediction
    layout: Mapping[str, Any]  # as plain values
    trained: Row | None  # where torchtitan has the model: under which name
    step_count: int
    checkpoint_steps: int

    @property
    def num_devices(self) -> int:
        return int(self.layout["num_devices"])

    @property
    def devices_per_node(self) -> int:
        return min(int(self.won.job.device.accelerator.devices_per_node), self.num_devices)

    @property
    def num_nodes(self) -> int:
        """Nodes that hold the devices.

        Raises:
            InputError: The devices are no whole number of nodes.
        """
        nodes, left = divmod(self.num_devices, self.devices_per_node)
        if left:
            raise InputError(
                f"{self.num_devices} devices are no whole number of nodes of {self.devices_per_node}: "
                f"plan with --devices {nodes * self.devices_per_node}"
            )
        return nodes

    @property
    def wall_s(self) -> Estimate:
        """How long the run takes."""
        return estimate(self.won.run.wall_s)

    @property
    def weights(self) -> str:
        """The repository whose tokenizer or weights the program reads; empty where it reads none."""
        job = self.won.job
        return "" if self.trained is None and job.kind == PRETRAIN else weights_of(job.model_ref)

    @property
    def file_name(self) -> str:
        return "job.yaml" if self.trained is None else "planned.py"

    @property
    def file_text(self) -> str:
        """What stands in the file that the program reads."""
        from steelyard.report.emit import own_job, torchtitan

        return own_job.job(self) if self.trained is None else torchtitan.module(self)

    @property
    def words(self) -> tuple[str, ...]:
        """Module and arguments, as `python -m` and `torchrun -m` take them."""
        if self.trained is None:
            return ("steelyard", "train", self.file_name)
        return ("torchtitan.train", "--module", "planned", "--config", "planned")

    @property
    def install(self) -> str:
        if self.trained is None:
            return "pip install 'steelyard[run]'"
        return f"pip install torch {TRAINER}"

    def heading(self, *start: str) -> Iterator[str]:
        """Yield what a reader of the file must know: the plan, how to start, how to confirm it."""
        job, won = self.won.job, self.won
        wall = self.wall_s
        low, middle, high = (format_quantity(value, "s") for value in (wall.p10, wall.p50, wall.p90))
        yield (
            f"{job.model_ref} on {self.num_devices} {job.device.id}, {format_quantity(job.tokens, 'token')}, planned "
            f"by steelyard {__version__}: {middle} ({low} to {high})."
        )
        step_s = float(np.max(won.step.step_s))
        yield f"Layout: {layout_text(won.layout)}; a step takes {format_quantity(step_s, 's')}."
        yield "Install on every node:"
        yield f"  {self.install}"
        if self.weights:
            yield "Once, where the run will be:"
            yield f"  hf download {self.weights} --local-dir {ASSETS}"
        yield "Start:"
        yield from (f"  {line}" for line in start)
        yield "Then compare its tokens/s and memory with the plan: see `steelyard measure train --help`."


def program_of(plan: TrainingPlan) -> Program:
    """Return the program that runs the simplest layout of a plan that is as fast as its winner but for noise.

    Raises:
        InputError: Neither trainer can.
    """
    job = plan.job
    won = predict_training(job, plan.simplest.layout)
    interval_s = float(np.max(won.median_run.checkpoint_interval_s))
    step_count = max(1, round(job.tokens / job.global_batch_tokens))
    program = Program(
        won=won,
        layout=layout_dict(won.layout),
        trained=None if job.method == "lora" else _known(job.model_ref),
        step_count=step_count,
        checkpoint_steps=min(step_count, max(1, round(interval_s / float(np.max(won.step.step_s))))),
    )
    if job.compute_dtype != "bf16":
        raise InputError(f"--emit writes training in bf16; the plan computes in {job.compute_dtype}: plan with bf16")
    if job.kind == "qlora":
        raise InputError("no trainer that --emit knows trains adapters on 4-bit weights: plan with --method lora")
    if program.trained is None:
        _check_own(program)
    return program


def _known(model_ref: str) -> Row | None:
    """Return how torchtitan calls a model of the catalogue; None where it has none, or the model is a file."""
    try:
        model_id = catalog.model(model_ref).id
    except UnknownError:
        return None
    rows = (row for row in catalog.table("trainer_models").rows if row["trainer"] == TRAINER)
    return next((row for row in rows if row["model"] == model_id), None)


def _check_own(program: Program) -> None:
    """Refuse what `steelyard train` cannot run: it replicates or shards a model and cuts it in no other way."""
    layout, job = program.layout, program.won.job
    cut = [f"{name}={layout[name]}" for name in _CUT if layout[name] > 1]
    if layout["recompute"] != "none":
        cut.append(f"recompute={layout['recompute']}")
    if cut:
        known = sorted(row["model"] for row in catalog.table("trainer_models").rows)
        kind = "trains" if job.kind == PRETRAIN else "fine-tunes"
        raise InputError(
            f"{TRAINER} does not have {job.model_ref}, and `steelyard train` {kind} without {', '.join(cut)}: plan "
            f"with --tp 1 --pp 1 --cp 1 --ep 1 --recompute none, or one of {', '.join(known)}"
        )
