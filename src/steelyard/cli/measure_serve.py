"""`steelyard measure serve`: what an address that answers like OpenAI's really does under load."""

from __future__ import annotations

import math
from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from steelyard.cli.output import deliver, output_option, progress_line, screen, warn
from steelyard.cli.quantities import DURATION, LATENCY, RATE
from steelyard.errors import InputError

if TYPE_CHECKING:
    from steelyard.compare.measured import Row
    from steelyard.measure.load import LoadPlan
    from steelyard.measure.load.client import Endpoint
    from steelyard.records.requests import RequestEvents, Times
    from steelyard.records.serving_metrics import ServingMetrics
    from steelyard.records.workload import Lengths, Objective


@click.command("serve")
@click.option("--url", required=True, metavar="URL", help="The address, as http://127.0.0.1:8000.")
@click.option("--model", metavar="NAME", help="One of the models it serves; may be left out where it is the only one.")
@click.option("--api", type=click.Choice(["completions", "chat"]), default="completions", show_default=True)
@click.option("--rate", type=RATE, metavar="R", help="Requests per second, open loop.")
@click.option("--cv", type=float, default=1.0, show_default=True, help="Of the gaps: 1 is Poisson, 0 a clock.")
@click.option("--concurrency", type=int, metavar="N", help="N users, closed loop.")
@click.option("--trace", type=click.Path(path_type=Path), metavar="FILE", help="CSV or JSON lines: times and lengths.")
@click.option("--speed", type=float, default=1.0, show_default=True, help="Replay a trace so many times as fast.")
@click.option("--sweep", is_flag=True, help="Raise the rate until the address no longer keeps up: the knee.")
@click.option("--isl", type=int, default=256, show_default=True, help="Prompt tokens of a request.")
@click.option("--osl", type=int, default=64, show_default=True, help="Answer tokens of a request.")
@click.option("--load", metavar="PRESET", help="Lengths of a preset instead, as `chat`.")
@click.option("--requests", type=int, metavar="N", help="At most N requests (200; in a sweep 100,000 a rate).")
@click.option("--duration", type=DURATION, default="60s", show_default=True, help="No request is due after it.")
@click.option("--timeout", type=DURATION, default="300s", show_default=True, help="Of one request.")
@click.option("--ttft", type=LATENCY, metavar="TIME", help="Objective of every request, as 200ms.")
@click.option("--tpot", type=LATENCY, metavar="TIME", help="Objective of every request, as 50ms.")
@click.option("--events", type=click.Path(path_type=Path), metavar="FILE", help="Each request, as .csv or .jsonl.")
@click.option(
    "--seed", type=int, default=0, show_default=True, help="Of arrivals and lengths; prompts are new in every load."
)
@click.option(
    "--predict", metavar="MODEL", help="What is served (a folder, config.json or catalogue name): predict it."
)
@click.option("--on", metavar="DEVICE", help="Of each replica, with --predict; this machine where it was measured.")
@click.option("--replicas", type=click.IntRange(1), default=1, show_default=True, help="Behind it, with --predict.")
@click.option("--slots", type=click.IntRange(1), help="Requests at once on a replica, with --predict.")
@click.option("--engine", default="llama.cpp", show_default=True, help="Of the replicas, with --predict.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
@output_option
def command(output: Path | None, as_json: bool, **asked: Any) -> int:
    """How fast does this address answer, and how much load does it carry?

    Sends streamed requests to any OpenAI-compatible server and reports TTFT, TPOT, ITL and E2E, counted from when a
    request was due, not from when it could be sent. An API key is taken from OPENAI_API_KEY; a user and password in
    the URL are sent as HTTP basic authentication and shown nowhere. Exit code 1 when no request was answered.

    \b
    Example:
      steelyard measure serve --url http://127.0.0.1:8000 --rate 2 --isl 256 --osl 64
      steelyard measure serve --url http://127.0.0.1:8000 --concurrency 8 --load chat --ttft 500ms
      steelyard measure serve --url http://127.0.0.1:8000 --sweep --duration 3min
    """
    _check(asked)
    from steelyard.measure.load import find_endpoint, run_loop
    from steelyard.records.workload import Objective

    lengths, times_s = _requests(asked)
    objective = Objective(ttft_s=asked["ttft"] or math.inf, tpot_s=asked["tpot"] or math.inf)
    endpoint = run_loop(find_endpoint(asked["url"], model=asked["model"], api=asked["api"], timeout_s=asked["timeout"]))
    asking = _Asking(endpoint, lengths, times_s, objective, asked, as_json=as_json, output=output)
    return asking.sweep() if asked["sweep"] else asking.one_load()


def _check(asked: dict[str, Any]) -> None:
    ways = [name for name in ("rate", "concurrency", "trace", "sweep") if asked[name]]
    if len(ways) != 1:
        raise click.UsageError("give one of --rate, --concurrency, --trace, --sweep")
    if asked["sweep"] and asked["events"]:
        raise click.UsageError("--events goes with one load, not with --sweep")
    if asked["events"] and asked["events"].suffix.lower() not in {".csv", ".jsonl"}:
        raise InputError(f"--events: {asked['events'].name!r} ends in neither .csv nor .jsonl")


def _requests(asked: dict[str, Any]) -> tuple[Lengths, Times | None]:
    """Return how long the requests are, and the times of those of a trace."""
    from steelyard.inference import lengths_from_stated, lengths_from_workload

    if asked["trace"]:
        from steelyard.inference.simulator import trace_load

        trace = trace_load(asked["trace"])
        return trace.lengths, trace.trace_times
    if asked["load"]:
        from steelyard import catalog

        return lengths_from_workload(catalog.workload(asked["load"])), None
    return lengths_from_stated({"fixed": asked["isl"]}, {"fixed": asked["osl"]}), None


def _plan(lengths: Lengths, times_s: Times | None, asked: dict[str, Any]) -> LoadPlan:
    from steelyard.measure.load import closed_plan, open_plan, trace_plan

    count = 200 if asked["requests"] is None else asked["requests"]
    until, seed = asked["duration"], asked["seed"]
    if times_s is not None:
        limit = {} if asked["requests"] is None else {"num_requests": count}
        return trace_plan(lengths, times_s, duration_s=until, speed_ratio=asked["speed"], **limit)
    if asked["concurrency"]:
        return closed_plan(lengths, asked["concurrency"], num_requests=count, duration_s=until, seed=seed)
    return open_plan(
        lengths, asked["rate"], num_requests=count, duration_s=until, arrival_cv_ratio=asked["cv"], seed=seed
    )


@dataclass(frozen=True)
class _Asking:
    """One measurement: where it goes, what is sent, what becomes of the answer."""

    endpoint: Endpoint
    lengths: Lengths
    times_s: Times | None  # of a trace
    objective: Objective
    asked: dict[str, Any]
    _: KW_ONLY
    as_json: bool
    output: Path | None

    @property
    def label(self) -> str:
        return f"{self.endpoint.model} at {self.endpoint.url}, {self.lengths.label}"

    @property
    def width(self) -> int | None:
        return None if self.output else screen()[0]

    def one_load(self) -> int:
        from steelyard.measure.load import measure_load
        from steelyard.measure.load.events_file import as_text
        from steelyard.measure.load.warnings import load_warnings
        from steelyard.records.serving_metrics import serving_metrics
        from steelyard.report import load as report

        asked, plan = self.asked, _plan(self.lengths, self.times_s, self.asked)
        with progress_line(f"of {len(plan):,} requests answered, {{}} in flight") as progress:
            events = measure_load(self.endpoint, plan, progress=progress)
        if asked["events"]:
            deliver(as_text(events, form=asked["events"].suffix.lower()[1:]), asked["events"])
        found = serving_metrics(events, self.objective)
        warnings, beside = load_warnings(self.endpoint, found), self._beside(events, found)
        limited = asked["ttft"] is not None or asked["tpot"] is not None
        text = report.load_text(found, f"{self.label}; {plan.label}", limited=limited, beside=beside, width=self.width)
        warn(warnings)
        result = found.to_dict() | {"predicted": [row.to_dict() for row in beside]}
        self._deliver(text, result, warnings)
        return int(found.num_answered == 0)

    def sweep(self) -> int:
        from steelyard.measure.load import sweep
        from steelyard.report import load as report

        asked = self.asked
        limit = {} if asked["requests"] is None else {"max_requests": asked["requests"]}
        with progress_line("requests answered at this rate, {} in flight") as progress:
            found = sweep(
                self.endpoint, self.lengths, self.objective, duration_s=asked["duration"], seed=asked["seed"],
                progress=progress, **limit,
            )  # fmt: skip
        self._deliver(report.sweep_text(found, self.label, width=self.width), found.to_dict(), ())
        return int(found.knee_request_rate_per_s == 0)

    def _beside(self, events: RequestEvents, found: ServingMetrics) -> tuple[Row, ...]:
        """Return the load beside what is predicted for it, where that was asked for."""
        asked = self.asked
        if asked["predict"] is None or not found.num_answered:
            return ()
        import numpy as np

        from steelyard import arch
        from steelyard.compare.measured import load_rows, machine_record

        on = asked["on"] or machine_record(processes=asked["replicas"])
        if on is None:
            raise InputError(
                "--predict: this machine has no record; run `steelyard measure machine`, or give --on DEVICE"
            )
        answered = np.array([not error for error in events.error])
        return load_rows(
            arch.load(asked["predict"]), found, on=on, isl_tokens=float(events.isl_tokens[answered].mean()),
            osl_tokens=float(events.osl_tokens[answered].mean()), users=asked["concurrency"],
            request_rate_per_s=None if asked["concurrency"] else asked["rate"] or found.request_rate_per_s,
            replicas=asked["replicas"], slots=asked["slots"], engine=asked["engine"],
            weight_dtype="fp16" if asked["engine"] == "llama.cpp" else None,
        )  # fmt: skip

    def _deliver(self, text: str, result: dict[str, Any], warnings: tuple[str, ...]) -> None:
        from steelyard.measure.load.client import without_login
        from steelyard.report.load import load_json

        inputs = {name: str(value) if isinstance(value, Path) else value for name, value in self.asked.items()}
        inputs["url"], _ = without_login(self.asked["url"])  # a password is stored nowhere
        deliver(load_json(inputs, result, warnings) if self.as_json else text, self.output)
