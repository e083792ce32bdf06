"""The command `steelyard`: finds the subcommand, and turns every fault into one line and an exit code."""

from __future__ import annotations

import os
import signal
import sys
from types import FrameType
from typing import Any, NoReturn

import click

from steelyard import __version__
from steelyard.cli.group import LazyGroup
from steelyard.cli.output import complain, quiet_python_warnings
from steelyard.errors import SteelyardError, nearest

COMMANDS = {  # name -> module; a module is imported when its command is asked for
    "compare": "steelyard.cli.compare",
    "decide": "steelyard.cli.decide",
    "claims": "steelyard.cli.claims",
    "predict": "steelyard.cli.predict",
    "simulate": "steelyard.cli.simulate",
    "plan": "steelyard.cli.plan",
    "train": "steelyard.cli.train",
    "serve": "steelyard.cli.serve",
    "measure": "steelyard.cli.measure",
    "catalog": "steelyard.cli.catalog",
    "validate": "steelyard.cli.validate",
    "calibrate": "steelyard.cli.calibrate",
    "doctor": "steelyard.cli.doctor",
    "web": "steelyard.web.command",
}
INTERNAL_ERROR, INTERRUPTED, PIPE_CLOSED, TERMINATED = 1, 130, 141, 143


@click.group(
    cls=LazyGroup,
    modules=COMMANDS,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.version_option(__version__, prog_name="steelyard", message="%(prog)s %(version)s")
@click.pass_context
def steelyard(ctx: click.Context) -> None:
    """What do AI inference and AI training each cost, and which should you pay for?

    \b
    Example:
      steelyard compare                 weigh the built-in example
      steelyard compare mine.yaml       weigh your own scenario
      steelyard claims                  check what people say about inference and training

    Answers go to stdout, warnings to stderr. Exit codes: 0 done, 1 the answer is no, 2 wrong input,
    3 unknown or missing data, 4 an outside program failed.
    """
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())


def main() -> NoReturn:
    """Run the command line of this process; SIGTERM ends it as Ctrl-C does, so that nothing half-written is left."""
    signal.signal(signal.SIGTERM, _terminate)
    sys.exit(run(sys.argv[1:]))


def _terminate(_number: int, _frame: FrameType | None) -> NoReturn:
    raise SystemExit(TERMINATED)


def run(arguments: list[str]) -> int:
    """Run the command line and return its exit code; whatever goes wrong is one line on stderr."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")  # a terminal that cannot show a letter shows "?"
    quiet_python_warnings()
    try:
        result: Any = steelyard.main(arguments, prog_name="steelyard", standalone_mode=False)
        sys.stdout.flush()
    except SteelyardError as error:
        complain("error", str(error))
        return error.exit_code
    except click.ClickException as error:
        complain("error", _with_help_hint(error))
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        return INTERRUPTED
    except BrokenPipeError:
        # What is still buffered for the closed pipe must not be flushed on the way out.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return PIPE_CLOSED
    except Exception as error:
        if os.environ.get("STEELYARD_DEBUG"):
            raise
        what = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        complain("internal error", f"{what}; please report it, with the traceback from STEELYARD_DEBUG=1")
        return INTERNAL_ERROR
    return result if isinstance(result, int) else 0


def _with_help_hint(error: click.ClickException) -> str:
    message = error.format_message()
    context = getattr(error, "ctx", None)
    if isinstance(error, click.NoSuchOption) and context is not None:
        known = [name for param in context.command.params for name in (*param.opts, *param.secondary_opts)]
        close = nearest(error.option_name, [name for name in known if name.startswith("-")])
        message = f"no such option {error.option_name[:80]!r}" + (f" (nearest: {', '.join(close)})" if close else "")
    return f"{message}; see `{context.command_path} --help`" if context is not None else message
