"""What is predicted for a training run or a load that was measured, with its range."""

from __future__ import annotations

import dataclasses
from datetime import date
from typing import Literal

import numpy as np

from steelyard import arch, catalog, device, inference, training
from steelyard.compare.draws import Draws
from steelyard.errors import UnknownError
from steelyard.training.calibration import Parameters
from steelyard.training.recipe import LORA_RANK

WHOLE, CORE, SHARED = "this-machine", "this-machine-core", "this-machine-share"
_DRAWS = Draws(200, 0)
_FRESH_DAYS = 7


def machine_record(*, processes: int = 1, threads: int | None = None, accelerated: bool = False) -> str | None:
    """Return the record of this machine that stands for one of so many processes, None where it was not measured.

    Args:
        processes: At work at the same time on this machine.
        threads: Of each; all cores when None.
        accelerated: They compute on a GPU, each on one of its own.

    Example:
        >>> machine_record(processes=2) in ("this-machine-share", None)
        True
    """
    name = WHOLE if accelerated else SHARED if processes > 1 else CORE if threads == 1 else WHOLE
    try:
        return catalog.accelerator(name).id
    except UnknownError:
        return None


def was_measured_lately(today: date) -> bool:
    """Tell whether this machine was measured within a week, as a whole and in its parts, with its engines."""
    names = [machine_record(), machine_record(threads=1), machine_record(processes=2)]
    cards = [catalog.accelerator(name) for name in names if name is not None]
    if len(cards) < len(names) or not any(key.endswith(f".{SHARED}") for key in catalog.calibration("inference")):
        return False
    return all((today - card.figures["hbm_bytes_per_s"].as_of).days < _FRESH_DAYS for card in cards)


def predicted_training(
    model: arch.Model,
    device_ref: str,
    *,
    ranks: int,
    sequence_tokens: float,
    batch: int,
    micro_batch: int,
    dtype: str,
    sharding: Literal["ddp", "fsdp"] = "ddp",
    lora_rank: int | None = None,
    parameters: Parameters | None = None,
) -> tuple[training.Step, training.Memory]:
    """Return the step predicted for a run of `steelyard train`, its fields with draws [D, 1], and its memory.

    Args:
        model: What is trained.
        device_ref: On what; each rank has one.
        ranks: Processes of the run.
        sequence_tokens: Of a sequence.
        batch: Sequences of an optimizer step, in all.
        micro_batch: Most sequences of one pass of a rank.
        dtype: Of the matrix products.
        sharding: Of weights and optimizer over the ranks.
        lora_rank: Of adapters; None where all weights are trained.
        parameters: Corrections to try; those of the device when None.

    Assumes:
        As that program trains: weights, gradients and optimizer in fp32, every operation a kernel of its own, passes
        of the same size.

    Raises:
        InputError: A layout that cannot be.
        UnknownError: No such device.
    """
    on = device.load(device_ref)
    fewest = max(batch // ranks, 1)  # sequences of a rank
    passes = min(-(-fewest // micro_batch), fewest)
    layout = training.Layout(
        dp=ranks,
        zero_stage=3 if sharding == "fsdp" else 0,
        micro_batch=max(fewest // passes, 1),
        global_batch=max(fewest // passes, 1) * passes * ranks,
    )
    recipe = training.Recipe(
        compute_dtype=dtype, method="full" if lora_rank is None else "lora", lora_rank=lora_rank or LORA_RANK,
        eager_ratio=1.0, master_bytes=0.0, gather_bytes=4.0,
    )  # fmt: skip
    time = _DRAWS.factor("training_time", catalog.calibration("training")["step_time_residual_sigma"].value)
    step = training.step(
        model, on, layout, seq_tokens=sequence_tokens, recipe=recipe, parameters=parameters, time_ratio=time
    )
    return step, training.memory(model, on, layout, seq_tokens=sequence_tokens, recipe=recipe)


def predicted_load(
    model: arch.Model,
    device_ref: str,
    *,
    isl_tokens: float,
    osl_tokens: float,
    users: float | None = None,
    request_rate_per_s: float | None = None,
    engine: str = "llama.cpp",
    slots: int | None = None,
    weight_dtype: str | None = "fp16",
    length_spread_ratio: float = 0.0,
) -> inference.UnderLoad:
    """Return what one replica is predicted to give to a load, its fields with draws [D].

    Args:
        model: What is served.
        device_ref: On what.
        isl_tokens, osl_tokens: Of a request, mean.
        users: Of one replica, in a closed loop.
        request_rate_per_s: Of one replica, in an open one.
        engine: As the catalogue names it.
        slots: Requests that it runs at once; the engine's own limit when None.
        weight_dtype: Of the weights; as stored when None.
        length_spread_ratio: Of lengths around their means; 0 where all requests are alike.

    Raises:
        DoesNotFitError: The model does not fit the device.
        UnknownError: No such device or engine.
    """
    on = device.load(device_ref)
    rules = inference.engine_for(on, engine)
    if slots is not None:
        rules = dataclasses.replace(rules, max_sequences=float(slots))
    time = _DRAWS.factor("serving_time", catalog.calibration("inference")["dense_time_residual_sigma"].value)
    return inference.under_load(
        model, on, inference.deployment_for(model, 1, weight_dtype=weight_dtype), isl_tokens=isl_tokens,
        osl_tokens=osl_tokens, users=users, request_rate_per_s=request_rate_per_s,
        length_spread_ratio=length_spread_ratio, engine=rules, time_ratio=np.ravel(time),
    )  # fmt: skip
