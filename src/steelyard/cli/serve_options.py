"""What the commands that predict serving ask alike: the engine, its prefix cache and draft, the latency objective."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from steelyard.records.workload import Objective

_ENGINES = "vllm, sglang, tensorrt-llm, llama.cpp, ollama, transformers, nim: see steelyard catalog list engines."
_OPTIONS = (
    click.option("--engine", default="vllm", show_default=True, help=_ENGINES),
    click.option("--engine-version", default="", metavar="VERSION", help="The newest unless given."),
    click.option(
        "--cached", "cached_input_ratio", type=click.FloatRange(0, 1), metavar="SHARE",
        help="Prompt tokens found in a prefix cache, 0 to 1; a preset's own, else none.",
    ),
    click.option(
        "--speculative-tokens", type=click.IntRange(0), default=0, show_default=True,
        help="Proposed by a draft in each step.",
    ),
    click.option(
        "--acceptance", "acceptance_ratio", type=click.FloatRange(0, 0.999),
        help="Chance that a proposed token is accepted (0.7).",
    ),
)  # fmt: skip


def engine_options(command: Callable[..., int]) -> Callable[..., int]:
    """Add the options of `compare.serving.served_by.ServedBy`."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def take_objective(options: dict[str, Any]) -> Objective:
    """Take `ttft`, `tpot` and `percentile` out of the options and return them as an objective."""
    from steelyard.records.workload import Objective

    percentile = options.pop("percentile")
    limits = {f"{name}_s": limit for name in ("ttft", "tpot") if (limit := options.pop(name)) is not None}
    return Objective(**limits, ttft_percentile=percentile, tpot_percentile=percentile)
