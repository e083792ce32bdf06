"""`steelyard calibrate`: fit the corrections to published measurements."""

from __future__ import annotations

import os
from importlib import import_module
from pathlib import Path

import click

from steelyard.cli.group import Group
from steelyard.cli.output import deliver, make_folder, screen
from steelyard.cli.validate import KINDS
from steelyard.errors import InputError

FILES = {"operators": "device"}  # kind of measurement -> calibration that it fits, where its name is another


@click.group("calibrate", cls=Group, invoke_without_command=True)
@click.pass_context
def command(ctx: click.Context) -> None:
    """Which corrections bring predictions nearest to what was measured?

    \b
    Example:
      steelyard calibrate training --into my-data   writes my-data/calibration/training.toml
      export STEELYARD_DATA=my-data                 predictions use it from then on
    """
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())


def _command(kind: str) -> click.Command:
    @click.command(
        kind,
        help=f"Which corrections fit {kind} best? Prints every free parameter with its standard error, and writes "
        f"them into a data folder as calibration/{FILES.get(kind, kind)}.toml.\n\n\b\nExample:\n  "
        f"steelyard calibrate {kind} --into my-data",
    )
    @click.option(
        "--into",
        type=click.Path(path_type=Path),
        metavar="FOLDER",
        help="The folder to write to; the first one of STEELYARD_DATA if not given.",
    )
    @click.option("--shipped", is_flag=True, hidden=True, help="For developers: rewrite the file of the package.")
    def calibrate(into: Path | None, shipped: bool) -> None:
        from steelyard.report.validation import parameters
        from steelyard.validation.calibration_file import shipped_file, user_file

        target = _target(kind, into, shipped)
        make_folder(target.parent, "give another one by --into")  # before minutes of fits
        found = import_module(KINDS[kind]).calibrate()
        width, _ = screen()
        click.echo(parameters(found, width=width))
        old = target.read_text(encoding="utf-8") if shipped else ""
        deliver(shipped_file(old, found) if shipped else user_file(found), target)
        click.echo(f"written: {target}")

    return calibrate


def _target(kind: str, into: Path | None, shipped: bool) -> Path:
    """Return the file to write."""
    if shipped and kind in FILES:
        raise InputError(
            f"--shipped: calibration/{FILES[kind]}.toml has figures by vendor; give --into, and merge by hand"
        )
    if shipped:
        from steelyard.catalog.files import SHIPPED

        return SHIPPED.joinpath("calibration", f"{kind}.toml")
    folder = into or next((Path(part) for part in os.environ.get("STEELYARD_DATA", "").split(os.pathsep) if part), None)
    if folder is None:
        raise InputError("where to write is not said; give --into FOLDER, or set STEELYARD_DATA")
    if folder.exists() and not folder.is_dir():
        raise InputError(f"--into {folder}: is a file; give a folder")
    return folder.expanduser().joinpath("calibration", f"{FILES.get(kind, kind)}.toml")


for _kind in KINDS:
    command.add_command(_command(_kind))
