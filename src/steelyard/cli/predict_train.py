"""`steelyard predict train`: one training job in one layout."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from steelyard.cli.job_options import job_options, to_job
from steelyard.cli.output import deliver, form_of, form_options, screen, warn


@click.command("train")
@job_options
@click.option(
    "--devices", "num_devices", type=click.IntRange(1), help="How many; the fewest that hold it if not given."
)
@click.option("--layout", metavar="LAYOUT", help="tp=8,pp=16,vpp=2,zero=1,...; the simplest of the fastest if none.")
@click.option("--explain", is_flag=True, help="Print the trees of terms: value, formula and source of each.")
@form_options
def command(form: str | None, explain: bool, output: Path | None, **options: Any) -> int:
    """Does a training job fit, how long does it take, what does it cost, what comes out?

    Time of a step with MFU, memory by item, the run with failures and checkpoints, money under three
    accountings, energy, carbon, the loss to expect. Exit code 1 when it does not fit.

    \b
    Example:
      steelyard predict train --model llama-3.1-8b --on h100 --devices 64 --tokens 1T
      steelyard predict train --model llama-3.1-405b --on h100-sxm --devices 16384 --tokens 15.6T \\
          --seq-len 8192 --global-batch-tokens 16777216 --layout tp=8,pp=16,vpp=7,recompute=selective
      steelyard predict train --model ./config.json --on h200 --tokens 20M --method lora
    """
    from steelyard.compare.jobs import predict_training
    from steelyard.compare.jobs.layouts import parse_layout
    from steelyard.report import training_prediction
    from steelyard.report.progress import LayoutProgress

    form = form_of(form, output, explain=explain)
    job = to_job(options)
    text, count = options["layout"], options["num_devices"]
    layout = None if text is None else parse_layout(text, count, job.batch_sequences)
    with LayoutProgress(1) as seen:
        found = predict_training(job, layout, num_devices=count, progress=lambda layouts: seen(0, 0, layouts))
    width, _ = screen()
    warn(found.warnings)
    deliver(training_prediction.render(found, form=form, explain=explain, width=None if output else width), output)
    return 0 if found.fits else 1
