"""`steelyard measure`: what this machine, endpoint, run or corpus really does."""

from __future__ import annotations

import click

from steelyard.cli.group import LazyGroup

COMMANDS = {  # name -> module; a module is imported when its command is asked for
    "machine": "steelyard.cli.measure_machine",
    "serve": "steelyard.cli.measure_serve",
    "train": "steelyard.cli.measure_train",
    "scaling-law": "steelyard.cli.measure_scaling_law",
}


@click.group("measure", cls=LazyGroup, modules=COMMANDS, invoke_without_command=True)
@click.pass_context
def command(ctx: click.Context) -> None:
    """What does this machine, endpoint, run or corpus really do?

    \b
    Example:
      steelyard measure train runs/mine
      steelyard measure scaling-law --data my-texts/
    """
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())
