"""`steelyard validate`: how far predictions miss published, or your own, measurements."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

import click

from steelyard.cli.group import Group
from steelyard.cli.output import deliver, output_option, screen, warn
from steelyard.errors import UnknownError

KINDS = {  # kind of measurement -> module with `validate` and `calibrate`
    "training": "steelyard.validation.training",
    "inference": "steelyard.validation.inference",
    "operators": "steelyard.validation.operators",
}


@click.group("validate", cls=Group, invoke_without_command=True)
@click.pass_context
def command(ctx: click.Context) -> None:
    """How far do predictions miss what was measured?

    \b
    Example:
      steelyard validate training                   published runs, each family of sources left out of the fit
      steelyard validate training --data mine.csv   your own measurements
      steelyard validate training --json            errors of every group, every point, every refusal
    """
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())


def _command(kind: str) -> click.Command:
    @click.command(
        kind,
        help=f"How far do predictions of {kind} miss? Errors by family of sources beside two simple rules, how often "
        "the 80% range holds, and what is not predicted, with the reason. Exit code 3 where FILE has nothing that is."
        f"\n\n\b\nExample:\n  steelyard validate {kind} --data mine.csv",
    )
    @click.option(
        "--data",
        type=click.Path(path_type=Path),
        metavar="FILE",
        help=f"Your own points, a CSV file with the columns of the catalogue's published/{kind}.csv; columns that are "
        "absent count as not stated.",
    )
    @click.option(
        "--no-refit", is_flag=True, help="Published points with the calibration as it is, which has seen them: seconds."
    )
    @click.option("--json", "form", flag_value="json", help="One JSON document with a list `groups`.")
    @output_option
    def validate(data: Path | None, no_refit: bool, form: str | None, output: Path | None) -> None:
        from steelyard.report.validation import none_predicted, render

        found = import_module(KINDS[kind]).validate(data, refit=not no_refit)
        warn(found.warnings)
        if form is None and output is not None and output.suffix.lower() == ".json":
            form = "json"
        inputs = {"kind": kind, "data": None if data is None else str(data), "refit": not no_refit}
        width, _ = screen()
        deliver(render(found, form=form, inputs=inputs, width=None if output else width), output)
        if data is not None and not found.points:
            raise UnknownError(none_predicted(found, label=str(data)))

    return validate


for _kind in KINDS:
    command.add_command(_command(_kind))
