"""`steelyard train`: train a model for real."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from steelyard.cli.beside import training_beside
from steelyard.cli.output import complain, deliver, output_option, screen
from steelyard.cli.run_options import Economy, economy_options, needs_training_extra, task_options
from steelyard.errors import InputError, SteelyardError

if TYPE_CHECKING:
    from collections.abc import Callable

    from steelyard.records.training import Event
    from steelyard.runtime.harness import Tasks
    from steelyard.runtime.train import TrainJob, Watch

_OPTIONS = {  # option -> where it stands in the job
    "out": ("out",), "data": ("data",), "model": ("model",), "finetune": ("finetune",), "lora": ("lora", "rank"),
    "tokenizer": ("tokenizer",), "sequence": ("sequence",), "batch": ("batch",), "micro_batch": ("micro_batch",),
    "learning_rate": ("learning_rate",), "seed": ("seed",), "dtype": ("dtype",), "device": ("device",),
    "processes": ("processes",), "sharding": ("sharding",), "threads": ("threads",), "tokens": ("limits", "tokens"),
    "time": ("limits", "time"), "target_loss": ("limits", "target_loss"), "usd": ("limits", "usd"),
    "evaluate_every": ("evaluate", "every"), "checkpoint_every": ("checkpoint", "every"),
    "task": ("evaluate", "tasks"), "task_folder": ("evaluate", "task_folder"),
}  # fmt: skip


@click.command("train")
@click.argument("job", required=False, type=click.Path(path_type=Path))
@click.option("--out", metavar="FOLDER", help="Where the run goes; the same folder resumes it.")
@click.option("--data", metavar="PATH", help="Text, JSON lines or Parquet: a file, folder or glob.")
@click.option("--model", metavar="MODEL", help="Parameters ('2M'), a config.json, or a model of the catalogue.")
@click.option("--finetune", metavar="FOLDER", help="Go on from this Hugging Face directory instead.")
@click.option("--lora", metavar="RANK", help="Train adapters of this rank, not all weights.")
@click.option("--tokenizer", metavar="SIZE|PATH", help="Size of one to train, or a given one.")
@click.option("--sequence", metavar="TOKENS", help="Length of a sequence.")
@click.option("--batch", metavar="COUNT", help="Sequences of an optimizer step, in all.")
@click.option("--micro-batch", metavar="COUNT", help="Sequences of one pass of one process.")
@click.option("--learning-rate", metavar="RATE", help="The highest; by the model's width otherwise.")
@click.option("--seed", metavar="NUMBER", help="Of weights, order and held-out text.")
@click.option("--dtype", metavar="DTYPE", help="fp32 or bf16.")
@click.option("--device", metavar="KIND", help="cpu or cuda.")
@click.option("--processes", metavar="COUNT", help="Processes on this machine; or run this under torchrun.")
@click.option("--ray", default="", metavar="ADDRESS", help="Those processes on a Ray cluster: HOST:PORT, or auto.")
@click.option("--sharding", metavar="KIND", help="ddp or fsdp.")
@click.option("--threads", metavar="COUNT", help="Threads of a process on a CPU.")
@click.option("--tokens", metavar="COUNT", help="Stop after so many, for example '10 Mtoken'.")
@click.option("--time", metavar="TIME", help="Stop after it, for example '30 min'.")
@click.option("--target-loss", metavar="NATS", help="Stop at this held-out loss.")
@click.option("--usd", metavar="AMOUNT", help="Stop when so much is spent (needs --price or --on).")
@click.option("--evaluate-every", metavar="STEPS", help="Judge on held-out text every so many steps.")
@click.option("--checkpoint-every", metavar="STEPS", help="Save every so many steps.")
@task_options
@economy_options
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
@output_option
def command(
    job: Path | None,
    on: str | None,
    price: float | None,
    ray: str,
    peak: float | None,
    as_json: bool,
    output: Path | None,
    **given: Any,
) -> int:
    """What does a model learn from this text, how fast, and at what cost?

    Trains for real, with PyTorch: JOB is a YAML file, and options go over it. The folder holds the model in Hugging
    Face's formats, every event, and checkpoints; the same command resumes a run that was stopped or killed.
    Without data it learns from the source text of Python's standard library.

    \b
    Example:
      steelyard train --out runs/first --model 2M --tokens '1 Mtoken'
      steelyard train job.yaml --processes 2
      steelyard train job.yaml --processes 16 --ray 10.0.0.1:6379
      steelyard train --out runs/tuned --finetune runs/first/model --data my-texts --lora 8
    """
    needs_training_extra()
    from steelyard.runtime.train import is_worker, launch, load_job, rank

    stated = load_job(job, _changes(given))
    economy = Economy(on=on, price_usd_per_device_s=price, stated_flop_per_s=peak)
    if stated.limits.usd is not None and economy.usd_per_device_s is None:
        raise InputError("limits.usd: there is no price to count by; give --price or --on")
    tasks = _tasks(stated)
    if tasks is not None and rank() == 0:
        tasks.check()  # hours before they are asked
    if stated.processes > 1 and not is_worker() and not ray:
        from steelyard.runtime.train import prepare

        prepare(stated)
        return launch(stated.processes, sys.argv[1:])
    from steelyard.cli.train_progress import Progress
    from steelyard.runtime.train import train, train_on

    first = rank() == 0
    with Progress(stated, economy, shown=first and sys.stderr.isatty(), tell=_tell if first else None) as progress:
        watch = _watch(stated, economy, progress, tasks)
        try:
            ended = train_on(ray, stated, watch, told=_tell) if ray else train(stated, watch)
        except SteelyardError as error:
            if rank() == 0:
                raise
            return error.exit_code  # the first process says what it was
    if rank() == 0:
        deliver(_answer(stated, economy, as_json=as_json, to_file=output is not None), output)
    return _exit_code(ended.reason, wanted_loss=stated.limits.target_loss_nats is not None)


def _tell(line: str) -> None:
    complain("train", line)


def _tasks(job: TrainJob) -> Tasks | None:
    from steelyard.runtime.harness import Tasks

    asked = job.evaluate
    return Tasks(names=asked.tasks, folder=asked.task_folder) if asked.tasks else None


def _watch(job: TrainJob, economy: Economy, progress: Callable[[Event], None], tasks: Tasks | None) -> Watch:
    from steelyard.measure.watch import watch_training

    return watch_training(
        on_event=progress,
        cost_usd=economy.cost_usd,
        questions=job.evaluate.questions,
        tasks=tasks,
        device=job.device,
    )


def _answer(job: TrainJob, economy: Economy, *, as_json: bool, to_file: bool) -> str:
    """Return what the run measured."""
    from steelyard.measure.training import measure_training
    from steelyard.report.training import training_json, training_table
    from steelyard.runtime.train import read_log

    events = read_log(job.out)
    target = job.limits.target_loss_nats
    measures = measure_training(events, peak_flop_per_s=economy.peak_flop_per_s(events), target_loss_nats=target)
    cost = economy.cost_usd(measures.usage.device_s)
    beside = training_beside(job.out, events, measures, economy.on)
    if as_json:
        return training_json(measures, inputs=job.model_dump(mode="json"), cost_usd=cost, beside=beside)
    return training_table(measures, cost_usd=cost, beside=beside, width=None if to_file else screen()[0])


def _changes(given: dict[str, Any]) -> dict[str, Any]:
    """Return the options given, each where it stands in the job."""
    changes: dict[str, Any] = {}
    for option, (key, *below) in _OPTIONS.items():
        value = given[option]
        if not value:
            continue
        value = int(value) if isinstance(value, str) and value.isdecimal() else value
        if below:
            changes.setdefault(key, {})[below[0]] = value
        else:
            changes[key] = value
    return changes


def _exit_code(reason: str, *, wanted_loss: bool) -> int:
    """Return 130 for a run told to stop, 1 where a limit came before the loss that was wanted."""
    if reason == "interrupted":
        return 130
    return int(wanted_loss and reason != "target_loss")
