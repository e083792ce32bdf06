"""`steelyard plan serve`: which deployment serves a demand within an objective for least money."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from steelyard.cli.output import deliver, form_of, form_options, screen, warn
from steelyard.cli.quantities import DAY, DEVICE_PRICES, LATENCY, RATE, TOKENS, by_device
from steelyard.cli.serve_options import engine_options, take_objective
from steelyard.report.emit import SERVING, serving_file


@click.command("serve")
@click.option("--model", required=True, metavar="MODEL", help="Catalogue name, or a config.json.")
@click.option("--on", "devices", required=True, multiple=True, metavar="DEVICE", help="Accelerator; repeatable.")
@click.option("--devices", "max_devices", type=click.IntRange(1), default=8, show_default=True, help="At most so many.")
@click.option("--load", default="chat", show_default=True, metavar="NAME", help="Preset, or a trace file.")
@click.option("--isl", "isl_tokens", type=TOKENS, help="Prompt tokens of every request, in place of the preset's.")
@click.option("--osl", "osl_tokens", type=TOKENS, help="Answer tokens of every request, in place of the preset's.")
@click.option("--rate", "request_rate_per_s", type=RATE, help="Peak demand; a trace's own; all that fits if none.")
@click.option("--mean-rate", "mean_request_rate_per_s", type=RATE, help="Or the mean, such as '40M requests/month'.")
@click.option("--peak-to-mean", "peak_to_mean_ratio", type=float, help="Of the demand; the preset's or the trace's.")
@click.option("--ttft", type=LATENCY, help="Objective: time to first token, such as 500ms.")
@click.option("--tpot", type=LATENCY, help="Objective: time per output token, such as 30ms.")
@click.option("--percentile", type=click.FloatRange(1, 99.99), default=95.0, show_default=True, help="Of both.")
@click.option("--dtype", "weight_dtypes", multiple=True, metavar="DTYPE", help="Of the weights; repeatable; as stored.")
@click.option("--kv-dtype", metavar="DTYPE", help="Of the KV cache; bf16 unless given.")
@engine_options
@click.option("--together", is_flag=True, help="Do not try prefill and decoding on separate replicas.")
@click.option("--pricing", default="on_demand", show_default=True, help="Rental: on_demand, spot, reserved_1y, ...")
@click.option("--price", "prices", multiple=True, type=DEVICE_PRICES, help="Your own: 'h200=2.10 USD/device/h'.")
@click.option("--as-of", type=DAY, help="Prices of this day (YYYY-MM-DD); the newest unless stated.")
@click.option("--draws", type=click.IntRange(0), default=10, show_default=True, help="Behind the ranges.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Same seed, same answer.")
@click.option(
    "--emit", type=click.Choice(tuple(SERVING)), help="A file that runs the cheapest, in place of the answer."
)
@form_options
def command(form: str | None, emit: str | None, output: Path | None, **asked: Any) -> int:
    """Which deployment keeps the objective for least money, which is fastest, which takes least energy?

    Bounds every way of cutting the model over the devices in closed form and simulates the best, also with
    prefill and decoding apart. Exit code 1 when none keeps the objective; the line says by how much.

    \b
    Example:
      steelyard plan serve --model qwen3-32b --dtype fp8 --on h200 --devices 32 --isl 4000 --osl 1000
          --ttft 2s --tpot 30ms
      steelyard plan serve --model qwen3-8b --on h100 --devices 4 --tpot 30ms --together --emit compose -o compose.yaml
      steelyard plan serve --model llama-3.1-70b --on h100 --on b200 --devices 16 --rate 8 --ttft 1s
      steelyard plan serve --model qwen3-32b --on h200 --mean-rate '40M requests/month' --price 'h200=2.90 USD/device/h'
    """
    from steelyard.compare.serving.plan import plan_serving
    from steelyard.compare.serving.plan_result import ServingPlanQuestion
    from steelyard.report.serving_plan import render

    if emit is not None and form is not None:
        raise click.UsageError(f"--emit and --{form} exclude each other")
    form = None if emit else form_of(form, output)
    asked["usd_per_device_s"] = by_device(asked.pop("prices"))
    together, objective = asked.pop("together"), take_objective(asked)
    plan = plan_serving(ServingPlanQuestion(objective=objective, separate=not together, **asked))
    width, _ = screen()
    warn(plan.warnings)
    if emit is not None:
        deliver(serving_file(plan, emit), output)
        return 0
    deliver(render(plan, form=form, width=None if output else width), output)
    return 0
