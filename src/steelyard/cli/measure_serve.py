"""`steelyard measure serve`: what an address that answers like OpenAI's really does under load."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from steelyard.cli.output import deliver, output_option, progress_line, screen, warn
from steelyard.cli.quantity import quantity
from steelyard.errors import InputError

if TYPE_CHECKING:
    from steelyard.measure.load import LoadPlan
    from steelyard.records.workload import Lengths, Objective


@click.command("serve")
@click.option("--url", required=True, metavar="URL", help="The address, as http://127.0.0.1:8000.")
@click.option("--model", metavar="NAME", help="One of the models it serves; may be left out where it is the only one.")
@click.option("--api", type=click.Choice(["completions", "chat"]), default="completions", show_default=True)
@click.option("--rate", type=quantity("request_per_s"), metavar="R", help="Requests per second, open loop.")
@click.option("--cv", type=float, default=1.0, show_default=True, help="Of the gaps: 1 is Poisson, 0 a clock.")
@click.option("--concurrency", type=int, metavar="N", help="N users, closed loop.")
@click.option("--trace", type=click.Path(path_type=Path), metavar="FILE", help="CSV or JSON lines: times and lengths.")
@click.option("--speed", type=float, default=1.0, show_default=True, help="Replay a trace so many times as fast.")
@click.option("--sweep", is_flag=True, help="Raise the rate until the address no longer keeps up: the knee.")
@click.option("--isl", type=int, default=256, show_default=True, help="Prompt tokens of a request.")
@click.option("--osl", type=int, default=64, show_default=True, help="Answer tokens of a request.")
@click.option("--load", metavar="PRESET", help="Lengths of a preset instead, as `chat`.")
@click.option("--requests", type=int, metavar="N", help="At most N requests (200; in a sweep 100,000 a rate).")
@click.option("--duration", type=quantity("s"), default="60s", show_default=True, help="No request is due after it.")
@click.option("--timeout", type=quantity("s"), default="300s", show_default=True, help="Of one request.")
@click.option("--ttft", type=quantity("s"), metavar="TIME", help="Objective of every request, as 200ms.")
@click.option("--tpot", type=quantity("s"), metavar="TIME", help="Objective of every request, as 50ms.")
@click.option("--events", type=click.Path(path_type=Path), metavar="FILE", help="Each request, as .csv or .jsonl.")
@click.option("--seed", type=int, default=0, show_default=True, help="Of arrivals, lengths and prompts.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
@output_option
def command(output: Path | None, as_json: bool, **asked: Any) -> int:
    """How fast does this address answer, and how much load does it carry?

    Sends streamed requests to any OpenAI-compatible server and reports TTFT, TPOT, ITL and E2E, counted from when a
    request was due, not from when it could be sent. An API key is taken from OPENAI_API_KEY. Exit code 1 when no
    request was answered.

    \b
    Example:
      steelyard measure serve --url http://127.0.0.1:8000 --rate 2 --isl 256 --osl 64
      steelyard measure serve --url http://127.0.0.1:8000 --concurrency 8 --load chat --ttft 500ms
      steelyard measure serve --url http://127.0.0.1:8000 --sweep --duration 3min
    """
    _check(asked)
    from steelyard.measure.load import find_endpoint, run_loop
    from steelyard.records.workload import Objective

    lengths = _lengths(asked)
    objective = Objective(ttft_s=asked["ttft"] or math.inf, tpot_s=asked["tpot"] or math.inf)
    endpoint = run_loop(find_endpoint(asked["url"], model=asked["model"], api=asked["api"], timeout_s=asked["timeout"]))
    inputs = {name: str(value) if isinstance(value, Path) else value for name, value in asked.items()}
    label = f"{endpoint.model} at {endpoint.url}, {lengths.label}"
    if asked["sweep"]:
        return _sweep(endpoint, lengths, objective, asked, inputs, label, as_json, output)
    return _one_load(endpoint, _plan(lengths, asked), objective, asked, inputs, label, as_json, output)


def _check(asked: dict[str, Any]) -> None:
    ways = [name for name in ("rate", "concurrency", "trace", "sweep") if asked[name]]
    if len(ways) != 1:
        raise click.UsageError("give one of --rate, --concurrency, --trace, --sweep")
    if asked["sweep"] and asked["events"]:
        raise click.UsageError("--events goes with one load, not with --sweep")
    if asked["events"] and asked["events"].suffix.lower() not in {".csv", ".jsonl"}:
        raise InputError(f"--events: {asked['events'].name!r} ends in neither .csv nor .jsonl")


def _lengths(asked: dict[str, Any]) -> Lengths:
    from steelyard.inference import lengths_from_stated, lengths_from_trace, lengths_from_workload

    if asked["trace"]:
        return lengths_from_trace(asked["trace"])
    if asked["load"]:
        from steelyard import catalog

        return lengths_from_workload(catalog.workload(asked["load"]))
    return lengths_from_stated({"fixed": asked["isl"]}, {"fixed": asked["osl"]})


def _plan(lengths: Lengths, asked: dict[str, Any]) -> LoadPlan:
    from steelyard.measure.load import closed_plan, open_plan, trace_plan

    count = 200 if asked["requests"] is None else asked["requests"]
    until, seed = asked["duration"], asked["seed"]
    if asked["trace"]:
        limit = {} if asked["requests"] is None else {"num_requests": count}
        return trace_plan(asked["trace"], lengths, duration_s=until, speed_ratio=asked["speed"], **limit)
    if asked["concurrency"]:
        return closed_plan(lengths, asked["concurrency"], num_requests=count, duration_s=until, seed=seed)
    return open_plan(
        lengths, asked["rate"], num_requests=count, duration_s=until, arrival_cv_ratio=asked["cv"], seed=seed
    )


def _one_load(
    endpoint: Any,
    plan: LoadPlan,
    objective: Objective,
    asked: dict[str, Any],
    inputs: dict[str, Any],
    label: str,
    as_json: bool,
    output: Path | None,
) -> int:
    from steelyard.measure.load import measure_load
    from steelyard.measure.load.events_file import as_text
    from steelyard.measure.load.warnings import load_warnings
    from steelyard.records.serving_metrics import serving_metrics
    from steelyard.report import load as report

    with progress_line(f"of {len(plan):,} requests answered, {{}} in flight") as progress:
        events = measure_load(endpoint, plan, seed=asked["seed"], progress=progress)
    if asked["events"]:
        deliver(as_text(events, form=asked["events"].suffix.lower()[1:]), asked["events"])
    found = serving_metrics(events, objective)
    warnings = load_warnings(endpoint, found)
    width, _ = screen()
    limited = asked["ttft"] is not None or asked["tpot"] is not None
    text = report.load_text(found, f"{label}; {plan.label}", limited=limited, width=None if output else width)
    warn(warnings)
    deliver(report.load_json(inputs, found.to_dict(), warnings) if as_json else text, output)
    return int(found.num_answered == 0)


def _sweep(
    endpoint: Any,
    lengths: Lengths,
    objective: Objective,
    asked: dict[str, Any],
    inputs: dict[str, Any],
    label: str,
    as_json: bool,
    output: Path | None,
) -> int:
    from steelyard.measure.load import sweep
    from steelyard.report import load as report

    limit = {} if asked["requests"] is None else {"max_requests": asked["requests"]}
    with progress_line("requests answered at this rate, {} in flight") as progress:
        found = sweep(
            endpoint,
            lengths,
            objective,
            duration_s=asked["duration"],
            seed=asked["seed"],
            progress=progress,
            **limit,
        )
    width, _ = screen()
    text = report.sweep_text(found, label, width=None if output else width)
    deliver(report.load_json(inputs, found.to_dict(), ()) if as_json else text, output)
    return int(found.knee_request_rate_per_s == 0)
