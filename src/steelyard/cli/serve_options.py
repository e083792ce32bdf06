"""What the commands that predict serving ask alike: the engine, the latency objective."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from steelyard.records.workload import Objective

ENGINES = "vllm, sglang, tensorrt-llm, llama.cpp, ollama, transformers, nim: see steelyard catalog list engines."


def take_objective(options: dict[str, Any]) -> Objective:
    """Take `ttft`, `tpot` and `percentile` out of the options and return them as an objective."""
    from steelyard.records.workload import Objective

    percentile = options.pop("percentile")
    limits = {f"{name}_s": limit for name in ("ttft", "tpot") if (limit := options.pop(name)) is not None}
    return Objective(**limits, ttft_percentile=percentile, tpot_percentile=percentile)
