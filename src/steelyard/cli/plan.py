"""`steelyard plan`: the best configurations, out of all."""

from __future__ import annotations

from steelyard.cli.group import LazyGroup

COMMANDS = {
    "train": "steelyard.cli.plan_train",
    "serve": "steelyard.cli.plan_serve",
    "model": "steelyard.cli.plan_model",
}

command = LazyGroup(
    name="plan",
    modules=COMMANDS,
    no_args_is_help=True,
    help="""Which configuration is best, out of all that are possible?

    \b
    Example:
      steelyard plan train --model llama-3.1-70b --on h100 --devices 512,1024 --tokens 15T
      steelyard plan model --loss-of 70B,1.4T --served-tokens 10T
    """,
)
