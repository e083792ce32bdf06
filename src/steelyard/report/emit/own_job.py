"""A job file of `steelyard train`, for models that torchtitan does not have."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from steelyard.compare.jobs.job import PRETRAIN
from steelyard.report.emit.comments import yaml_text
from steelyard.report.emit.program import ASSETS, Program

NOTES = {
    "data": "your text: a file, folder or glob; on several nodes all must see it, and `out`",
    "batch": "sequences of an optimizer step, over all devices",
    "checkpoint": "what the failures to expect ask for",
}


def job(program: Program) -> str:
    """Return the job."""
    asked, layout = program.won.job, program.layout
    content: dict[str, Any] = {"out": "runs/planned", "data": "data/"}
    content |= {"model": _model(asked.model_ref)} if asked.kind == PRETRAIN else {"finetune": ASSETS}
    if asked.method == "lora":
        content["lora"] = {"rank": asked.recipe.lora_rank}
    content |= {
        "sequence": int(asked.seq_tokens),
        "batch": layout["global_batch"],
        "micro_batch": layout["micro_batch"],
        "dtype": "bf16",
        "device": "cuda",
        "sharding": "ddp" if layout["zero_stage"] == 0 or asked.method == "lora" else "fsdp",
        "limits": {"tokens": f"{asked.tokens:.0f} token"},
        "checkpoint": {"every": program.checkpoint_steps},
    }
    return yaml_text(content, NOTES)


def _model(model_ref: str) -> str:
    """Return a name of the catalogue as it is, and a file by its whole path: the run has a folder of its own."""
    return str(Path(model_ref).resolve()) if Path(model_ref).suffix == ".json" else model_ref
