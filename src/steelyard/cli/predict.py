"""`steelyard predict`: one configuration, explained."""

from __future__ import annotations

from steelyard.cli.group import LazyGroup

COMMANDS = {"train": "steelyard.cli.predict_train", "serve": "steelyard.cli.predict_serve"}

command = LazyGroup(
    name="predict",
    modules=COMMANDS,
    no_args_is_help=True,
    help="""What does one configuration take: time, memory, money, energy?

    \b
    Example:
      steelyard predict train --model llama-3.1-8b --on h100 --devices 64 --tokens 1T
    """,
)
