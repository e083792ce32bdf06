"""`steelyard measure train`: what a training run was worth."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

import click

from steelyard.cli.beside import training_beside
from steelyard.cli.output import deliver, output_option, screen
from steelyard.cli.quantities import NATS
from steelyard.cli.run_options import Economy, economy_options, task_options

if TYPE_CHECKING:
    from steelyard.measure.training import TrainingMeasures


@click.command("train")
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--target-loss", type=NATS, metavar="NATS", help="Tokens and time to this held-out loss.")
@task_options
@economy_options
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
@output_option
def command(
    run: Path,
    target_loss: float | None,
    task: tuple[str, ...],
    task_folder: str | None,
    on: str | None,
    price: float | None,
    peak: float | None,
    as_json: bool,
    output: Path | None,
) -> None:
    """How fast was a training run, how well does its model do, and what did it cost?

    RUN is the folder of a `steelyard train`, or a file of events (a Hugging Face Trainer writes one through
    `steelyard.measure.trainer_callback.TrainingEvents`).

    \b
    Example:
      steelyard measure train runs/mine
      steelyard measure train runs/mine --target-loss 3.5 --on h100
      steelyard measure train runs/mine --task sums --task-folder my-tasks
    """
    from steelyard.errors import UnknownError
    from steelyard.measure.training import measure_training
    from steelyard.report.training import training_json, training_table
    from steelyard.runtime.train.event_log import read_log

    events = read_log(run)
    if not events:
        raise UnknownError(f"{run}: no events of a training run; give the folder of a run")
    economy = Economy(on=on, price_usd_per_device_s=price, stated_flop_per_s=peak)
    measures = measure_training(events, peak_flop_per_s=economy.peak_flop_per_s(events), target_loss_nats=target_loss)
    if task or task_folder:
        measures = _asked(measures, run, task, task_folder)
    cost = economy.cost_usd(measures.usage.device_s)
    beside = training_beside(run, events, measures, on)
    width, _ = screen()
    if as_json:
        deliver(training_json(measures, inputs={"run": str(run)}, cost_usd=cost, beside=beside), output)
    else:
        deliver(training_table(measures, cost_usd=cost, beside=beside, width=width), output)


def _asked(run: TrainingMeasures, folder: Path, names: tuple[str, ...], task_folder: str | None) -> TrainingMeasures:
    """Return the measures of a run with the accuracy of its model in more tasks."""
    from steelyard.errors import InputError
    from steelyard.runtime.harness import Tasks
    from steelyard.runtime.train.prepare import MODEL

    if not names:
        raise InputError("--task-folder holds files of tasks; name those to ask with --task")
    tasks = Tasks(names=names, folder=None if task_folder is None else Path(task_folder).expanduser())
    return dataclasses.replace(run, accuracy_ratio={**run.accuracy_ratio, **tasks.accuracy(folder.joinpath(MODEL))})
