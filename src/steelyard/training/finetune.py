"""Fine-tuning: the same step, memory and run, for a few tokens and few devices."""

from __future__ import annotations

from dataclasses import dataclass

from steelyard.arch import Model
from steelyard.device import Device
from steelyard.training.best import Plan, best_layout, least_devices
from steelyard.training.reliability import Reliability, checkpoint_bytes
from steelyard.training.reliability import reliability as usual_reliability
from steelyard.training.run import Run, run
from steelyard.units import Array


@dataclass(frozen=True, slots=True, kw_only=True)
class FineTuning:
    """A fine-tuning job: the layout chosen and the run."""

    plan: Plan
    run: Run
    method: str


def finetune(
    model: Model,
    device: Device,
    *,
    tokens: Array,
    seq_tokens: float,
    global_batch_tokens: float,
    method: str = "lora",
    num_devices: int | None = None,
    reliability: Reliability | None = None,
    time_ratio: Array = 1.0,
) -> FineTuning:
    """Return the run of a full or LoRA fine-tuning on its fastest layout.

    Args:
        model: From `arch`.
        device: Device kind.
        tokens: Examples * tokens of one * epochs.
        seq_tokens: Tokens of one (packed) sequence.
        global_batch_tokens: Tokens of one optimizer step.
        method: "full", or "lora" (frozen weights, adapters trained).
        num_devices: The least that fits when None.
        reliability: Of a usual cluster when None.
        time_ratio: Factor on the step time: draws of its residual, or 1.

    Raises:
        DoesNotFitError: The model does not fit that many devices.
        InputError: A count or a batch that no layout divides.

    Example:
        >>> from steelyard import arch, device
        >>> job = finetune(arch.load("llama-3.1-8b"), device.load("h100"), tokens=15e6, seq_tokens=2048,
        ...                global_batch_tokens=131072)
        >>> bool(60 < job.run.wall_s < 3600), int(job.plan.layout.num_devices)
        (True, 1)
    """
    count = least_devices(model, device, seq_tokens=seq_tokens, method=method) if num_devices is None else num_devices
    plan = best_layout(
        model, device, count, seq_tokens=seq_tokens, global_batch_tokens=global_batch_tokens, method=method
    )
    job = run(
        plan.step,
        tokens=tokens,
        device=device,
        reliability=usual_reliability() if reliability is None else reliability,
        checkpoint_bytes=checkpoint_bytes(model) if method == "full" else 0.0,
        time_ratio=time_ratio,
    )
    return FineTuning(plan=plan, run=job, method=method)
