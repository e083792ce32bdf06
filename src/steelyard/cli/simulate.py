"""`steelyard simulate`: what happens, event by event."""

from __future__ import annotations

import click

from steelyard.cli.group import LazyGroup


@click.group("simulate", cls=LazyGroup, modules={"serve": "steelyard.cli.simulate_serve"}, invoke_without_command=True)
@click.pass_context
def command(ctx: click.Context) -> None:
    """What happens under traffic, event by event?

    \b
    Example:
      steelyard simulate serve --model llama-3.1-8b --on h100-sxm --load azure-conversation
    """
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())
