"""`steelyard simulate serve`: a serving fleet under traffic."""

from __future__ import annotations

import os
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import click

from steelyard.cli.output import deliver, form_of, form_options, screen, warn
from steelyard.cli.quantities import DAY, DEVICE_PRICE, LATENCY, RATE, REPLICA_RANGE, SHARE, TOKENS
from steelyard.cli.serve_options import engine_options, take_objective
from steelyard.errors import InputError


@click.command("serve")
@click.option("--model", required=True, metavar="NAME", help="Model of the catalogue, or a config.json.")
@click.option("--on", "device", required=True, metavar="NAME", help="Device of the catalogue.")
@click.option("--load", default="chat", metavar="NAME", help="Preset of the catalogue (chat) or a trace file.")
@click.option("--isl", "isl_tokens", type=TOKENS, help="Prompt tokens of every request, in place of the preset's.")
@click.option("--osl", "osl_tokens", type=TOKENS, help="Answer tokens of every request, in place of the preset's.")
@click.option("--requests", "num_requests", type=click.IntRange(min=1), help="How many (100,000; of a trace, all).")
@click.option(
    "--rate",
    "request_rate_per_s",
    type=RATE,
    help="Requests per second, such as 20request/s or 20.",
)
@click.option(
    "--load-level",
    "level_ratio",
    type=SHARE,
    help="Rate as a share of the fleet's capacity (80%).",
)
@click.option("--concurrency", type=click.IntRange(min=1), help="Users who each wait for their answer, and no rate.")
@click.option("--all-at-once", is_flag=True, help="All requests come at the start.")
@click.option("--cv", "arrival_cv_ratio", type=float, help="Coefficient of variation of the gaps; 1 is Poisson.")
@click.option("--gaps", help="Distribution of the gaps: gamma (if none) or weibull.")
@click.option("--daily", is_flag=True, help="With the preset's rate by the hour.")
@click.option("--tp", type=click.IntRange(min=1), default=1, help="Tensor-parallel devices of a replica.")
@click.option("--ep", type=click.IntRange(min=1), default=1, help="Expert-parallel ways within them.")
@click.option("--pp", type=click.IntRange(min=1), default=1, help="Pipeline stages.")
@click.option("--dp", type=click.IntRange(min=1), default=1, help="Data-parallel attention ranks.")
@click.option("--dtype", "weight_dtype", metavar="DTYPE", help="Of the weights; as stored unless given.")
@click.option("--kv-dtype", metavar="DTYPE", help="Of the KV cache; bf16 unless given.")
@engine_options
@click.option("--static", is_flag=True, help="Static batching: a batch is kept until its last answer is done.")
@click.option("--max-sequences", type=click.IntRange(min=1), help="Most sequences in a step; the engine's.")
@click.option("--token-budget", type=click.IntRange(min=1), help="Most tokens in a step; the engine's.")
@click.option("--replicas", type=click.IntRange(min=1), default=1, help="How many serve.")
@click.option("--decode-replicas", type=click.IntRange(min=0), default=0, help="Separate ones; the others prefill.")
@click.option("--decode-layout", metavar="LAYOUT", help="Of those: tp=4,ep=4,max-sequences=64; as the others' if none.")
@click.option(
    "--routing",
    default="least-requests",
    help="round-robin, least-requests, power-of-two, least-kv or prefix-affinity.",
)
@click.option("--autoscale", type=REPLICA_RANGE, help="Replicas follow the load between these numbers.")
@click.option("--target-requests", type=float, help="Autoscaling: requests in the system per replica (32).")
@click.option("--mtbf", "mtbf_s", type=LATENCY, help="Mean time between failures of a replica.")
@click.option("--ttft", type=LATENCY, help="Objective: time to first token, such as 500ms.")
@click.option("--tpot", type=LATENCY, help="Objective: time per output token, such as 30ms.")
@click.option("--percentile", type=click.FloatRange(1, 99.99), default=95.0, help="Of the objectives.")
@click.option("--pricing", default="on_demand", help="Kind of rental price: on_demand, spot, reserved_1y, ...")
@click.option("--price", "usd_per_device_s", type=DEVICE_PRICE, help="Your own, in place of the catalogue's.")
@click.option("--as-of", type=DAY, help="Prices of this day (YYYY-MM-DD); the newest unless stated.")
@click.option("--draws", type=click.IntRange(min=0), default=20, help="Draws behind the ranges; 0 for none.")
@click.option("--seed", type=click.IntRange(min=0), default=0, help="Same seed, same answer.")
@click.option("--events", type=click.Path(path_type=Path), metavar="FILE", help="Write every request (.csv, .parquet).")
@form_options
def command(form: str | None, output: Path | None, events: Path | None, **asked: Any) -> int:
    """Which latencies, rates, energy and cost does a fleet give under this traffic?

    Simulates every request through router, queue, batch and KV cache. Without a rate, the load is 80% of
    what the fleet carries. Exit code 1 when an objective is missed; the answer says by how much.

    \b
    Example:
      steelyard simulate serve --model llama-3.1-8b --on h100-sxm --load azure-conversation
      steelyard simulate serve --model llama-3.1-70b --on h100 --tp 4 --rate 5 --ttft 2s --tpot 30ms
      steelyard simulate serve --model llama-3.1-8b --on h100 --load trace.csv --replicas 4 --events out.csv
      steelyard simulate serve --model qwen3-32b --dtype fp8 --on h200 --tp 1 --replicas 4
          --decode-replicas 3 --decode-layout tp=2 --html -o fleet.html
    """
    from steelyard.compare.serving.traffic import simulate_serving
    from steelyard.report.request_events import EventFile
    from steelyard.report.serving_traffic import render

    form = form_of(form, output)
    question = _question(asked)
    if events and output and os.path.realpath(events) == os.path.realpath(output):
        raise InputError(f"--events and -o are the same file, {output}; give each one of its own")
    width, _ = screen()
    with EventFile(events) if events else nullcontext() as file:  # both files or none
        answer = simulate_serving(question, sink=file.write if file else None)
        warn(answer.warnings)
        deliver(render(answer, form=form, width=None if output else width), output)
    return answer.exit_code


def _question(asked: dict[str, Any]) -> Any:
    from steelyard.compare.serving.traffic_question import TrafficQuestion

    return TrafficQuestion(objective=take_objective(asked), replica_range=asked.pop("autoscale"), **asked)
