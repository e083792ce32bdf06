"""A configuration of torchtitan: the module that its `--module` and `--config` name."""

from __future__ import annotations

import json
from typing import Any

from steelyard.compare.jobs.job import PRETRAIN
from steelyard.errors import InputError
from steelyard.report.emit.comments import comment
from steelyard.report.emit.program import ASSETS, Program

_CHECKPOINTING = {  # ours -> the class of torchtitan
    "none": "",
    "selective": "SelectiveAC",
    "full": "FullAC",
}
_SCHEDULES = {  # ours, interleaved or not -> the name in torch.distributed.pipelining
    ("1f1b", False): "1F1B",
    ("1f1b", True): "Interleaved1F1B",
    ("zero_bubble", True): "InterleavedZeroBubble",
}
_TEMPLATE = """\
{heading}
from torchtitan.components.checkpoint import CheckpointManager
from torchtitan.components.loss import ChunkedLossWrapper, CrossEntropyLoss
from torchtitan.components.optimizer import LRSchedulersContainer, default_adamw
from torchtitan.config import ParallelismConfig, TrainingConfig
{ac_import}from torchtitan.hf_datasets.text_datasets import HuggingFaceTextDataLoader
from torchtitan.models.common.config_utils import decoder_vocab_size
from torchtitan.models.{module} import model_registry
from torchtitan.trainer import Trainer


def planned() -> Trainer.Config:
    spec = model_registry("{flavor}")
    return Trainer.Config(
        model_spec=spec,
        loss=ChunkedLossWrapper.Config(loss_fn=CrossEntropyLoss.Config(global_vocab_size=decoder_vocab_size(spec))),
        hf_assets_path="./{assets}",  # tokenizer{weights}
        optimizer=default_adamw(),  # its learning rate is not planned: set lr= for your model
        lr_scheduler=LRSchedulersContainer.Config(warmup_steps={warmup}),
        dataloader=HuggingFaceTextDataLoader.Config(dataset="c4"),  # yours, as torchtitan's docs/datasets.md says
{training}
{parallelism}
{checkpoint}
{ac}    )
"""
_WARMUP_SHARE = 100  # a hundredth of the steps


def written(program: Program) -> str:
    """Return the module, with how to start it.

    Raises:
        InputError: torchtitan does not have the model or the schedule.
    """
    if program.trained is None:
        raise InputError(
            f"torchtitan does not have {program.won.job.model_ref} (table trainer_models): "
            "take --emit torchrun, slurm or ray, which run `steelyard train`"
        )
    nodes = "" if program.num_nodes == 1 else "   # on several nodes: --emit torchrun, slurm or ray"
    launch = f"torchrun --nproc-per-node {program.devices_per_node} -m {' '.join(program.words)}{nodes}"
    return comment(program.heading("cp THIS-FILE planned.py", launch)) + module(program)


def module(program: Program) -> str:
    """Return the module.

    Raises:
        InputError: torchtitan does not have the schedule.
    """
    assert program.trained is not None  # `program_of` names it only where the table does
    kind = _CHECKPOINTING[program.layout["recompute"]]
    return _TEMPLATE.format(
        heading=comment(_remarks(program)),
        module=program.trained["module"],
        flavor=program.trained["flavor"],
        assets=ASSETS,
        weights="" if program.won.job.kind == PRETRAIN else " and weights",
        warmup=max(1, program.step_count // _WARMUP_SHARE),
        training=_call("training", "TrainingConfig", _training(program)),
        parallelism=_call("parallelism", "ParallelismConfig", _parallelism(program)),
        checkpoint=_call("checkpoint", "CheckpointManager.Config", _checkpoint(program)),
        ac_import=f"from torchtitan.distributed.activation_checkpoint import {kind}\n" if kind else "",
        ac=f"        activation_checkpoint={kind}.Config(),\n" if kind else "",
    )


def _call(name: str, kind: str, values: dict[str, Any]) -> str:
    held = "".join(
        f"            {key}={json.dumps(value) if isinstance(value, str) else value},\n"
        for key, value in values.items()
    )
    return f"        {name}={kind}(\n{held}        ),"


def _training(program: Program) -> dict[str, Any]:
    job, layout = program.won.job, program.layout
    passes = 1
    if layout["pp"] > 1:  # a batch of the pipeline holds all its micro-batches
        passes = layout["global_batch"] // (layout["dp"] * layout["micro_batch"])
    return {
        "local_batch_size": layout["micro_batch"] * passes,
        "global_batch_size": layout["global_batch"],
        "seq_len": int(job.seq_tokens),
        "steps": program.step_count,
        "disable_cuda_graphs": layout["pp"] > 1 or job.model.num_experts > 0,  # neither has them
    }


def _parallelism(program: Program) -> dict[str, Any]:
    layout = program.layout
    whole = layout["dp"] if layout["zero_stage"] == 0 else layout["replicas"]
    values = {
        "data_parallel_replicate_degree": whole,
        "data_parallel_shard_degree": layout["dp"] // whole,
        "fsdp_reshard_after_forward": "always" if layout["zero_stage"] == 3 else "never",
        "tensor_parallel_degree": layout["tp"],
        "context_parallel_degree": layout["cp"],
        "expert_parallel_degree": layout["ep"],
        "pipeline_parallel_degree": layout["pp"],
    }
    if layout["pp"] > 1:
        values["pipeline_parallel_schedule"] = _schedule(layout["schedule"], layout["vpp"])
        values["pipeline_parallel_microbatch_size"] = layout["micro_batch"]
    if layout["vpp"] > 1:
        stages = layout["pp"] * layout["vpp"]
        values["pipeline_parallel_layers_per_stage"] = -(-program.won.job.model.num_layers // stages)
    return values


def _schedule(kind: str, vpp: int) -> str:
    if (kind, vpp > 1) not in _SCHEDULES:
        raise InputError(f"torchtitan has no {kind} schedule with {vpp} stage a rank: plan with --schedule 1f1b")
    return _SCHEDULES[kind, vpp > 1]


def _checkpoint(program: Program) -> dict[str, Any]:
    values: dict[str, Any] = {"enable": True, "interval": program.checkpoint_steps, "async_mode": "async"}
    if program.won.job.kind != PRETRAIN:
        values |= {"initial_load_path": f"./{ASSETS}", "initial_load_in_hf": True}
    return values


def _remarks(program: Program) -> list[str]:
    """Return where torchtitan does not do quite what was planned."""
    told = [f"A checkpoint every {program.checkpoint_steps} steps is what the failures to expect ask for."]
    if program.layout["zero_stage"] in {1, 2}:
        told.append(
            f"Planned with ZeRO-{program.layout['zero_stage']}; FSDP without resharding after the forward pass is its "
            "nearest kin: gradients and optimizer states are sharded, weights gathered once a step."
        )
    return told
