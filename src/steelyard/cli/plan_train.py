"""`steelyard plan train`: the best layouts of a training job, out of all that are possible."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from steelyard.cli.job_options import F, job_options, to_job
from steelyard.cli.output import deliver, form_of, form_options, screen, warn
from steelyard.cli.quantities import DURATION, NUMBERS, SIZE
from steelyard.report.emit import TRAINING, training_file

LIMITS = ("tp", "pp", "vpp", "dp", "cp", "ep", "micro-batch", "replicas", "zero")
WORDS = {"recompute": "none, selective, full; all unless given.", "schedule": "1f1b, zero_bubble; 1f1b unless given."}
_FIELDS = {"micro-batch": "micro_batch", "zero": "zero_stage"}


def limit_options(function: F) -> F:
    """Add `--tp 4,8`, `--max-tp 8` and their like to a command."""
    add: Callable[..., Any]
    for name in reversed(LIMITS):
        most = click.option(f"--max-{name}", type=click.IntRange(1), metavar="N", help=f"Largest {name} looked at.")
        only = click.option(f"--{name}", type=NUMBERS, help=f"Only these values of {name}.")
        for add in (most, only) if name != "zero" else (only,):
            function = add(function)
    for name, known in WORDS.items():
        function = click.option(f"--{name}", metavar="KIND[,KIND...]", help=f"Only these: {known}")(function)
    return function


@click.command("train")
@job_options
@click.option("--devices", "counts", type=NUMBERS, required=True, help="One count or several; all of a count are used.")
@click.option("--within", "deadline_s", type=DURATION, help="Deadline, '60 days': the cheapest that meets it wins.")
@click.option("--leave", "leave_bytes", type=SIZE, help="Memory of a device to be left over, '5 GB'.")
@limit_options
@click.option(
    "--layout", metavar="LAYOUT", help="Why not this one? tp=8,pp=4,...: its rank, or what stands against it."
)
@click.option("--explain", is_flag=True, help="Print the trees of terms behind the winner.")
@click.option(
    "--emit",
    type=click.Choice(tuple(TRAINING)),
    help="A file that runs the simplest of the best, in place of the answer.",
)
@form_options
def command(form: str | None, explain: bool, emit: str | None, output: Path | None, **options: Any) -> None:
    """Which layout trains fastest, which cheapest in time, and what lies between?

    Looks at every layout that keeps the rules: tensor, pipeline, interleaving, context, expert and data
    parallel ranks, micro-batch, recomputation, ZeRO stage. Drops what does not fit the memory. Exit code 1 when
    nothing fits, or nothing meets the deadline.

    \b
    Example:
      steelyard plan train --model llama-3.1-405b --on h100-sxm --devices 16384 --tokens 15.6e12 \\
          --seq-len 8192 --global-batch-tokens 16777216
      steelyard plan train --model llama-3.1-70b --on h100 --devices 256,512,1024 --tokens 2T --within '60 days'
      steelyard plan train --model llama-3.1-70b --on h100 --devices 512 --tokens 2T --tp 8 --max-pp 8 \\
          --recompute selective --layout tp=8,pp=8
      steelyard plan train --model llama-3.1-8b --on h100 --devices 64 --tokens 1T --emit slurm -o train.sbatch
    """
    from steelyard.compare.jobs import plan_training
    from steelyard.compare.jobs.layouts import parse_layout
    from steelyard.report import training_plan
    from steelyard.report.progress import LayoutProgress
    from steelyard.training import Space

    if emit is not None and (form is not None or explain):
        raise click.UsageError(f"--emit and --{form or 'explain'} exclude each other")
    form = None if emit else form_of(form, output, explain=explain)
    job, counts, asked = to_job(options), options["counts"], options["layout"]
    only_count = counts[0] if len(counts) == 1 else None
    with LayoutProgress(len(counts)) as progress:
        plan = plan_training(
            job,
            counts,
            space=Space(only=_only(options), at_most=_at_most(options)),
            leave_bytes=options["leave_bytes"] or 0.0,
            deadline_s=options["deadline_s"],
            compare_with=None if asked is None else parse_layout(asked, only_count, job.batch_sequences),
            progress=progress,
        )
    width, _ = screen()
    warn(plan.warnings)
    if emit is not None:
        deliver(training_file(plan, emit), output)
        return
    deliver(training_plan.render(plan, form=form, explain=explain, width=None if output else width), output)


def _only(options: dict[str, Any]) -> dict[str, tuple[int | str, ...]]:
    named = {_FIELDS.get(name, name): options[name.replace("-", "_")] for name in LIMITS}
    for name in WORDS:
        if options[name] is not None:
            named[name] = tuple(kind.strip() for kind in options[name].split(","))
    return {name: values for name, values in named.items() if values is not None}


def _at_most(options: dict[str, Any]) -> dict[str, int]:
    named = {_FIELDS.get(name, name): options.get(f"max_{name.replace('-', '_')}") for name in LIMITS}
    return {name: value for name, value in named.items() if value is not None}
