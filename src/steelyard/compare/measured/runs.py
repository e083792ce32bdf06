"""One training run or one load beside its prediction."""

from __future__ import annotations

from steelyard import arch
from steelyard.compare.measured.beside import machine_record, predicted_load, predicted_training
from steelyard.compare.measured.row import Row, flat, row
from steelyard.measure.training import TrainingMeasures
from steelyard.records.serving_metrics import ServingMetrics
from steelyard.records.training import Started


def training_rows(
    model: arch.Model, start: Started, measured: TrainingMeasures, *, on: str | None = None
) -> tuple[Row, ...]:
    """Return speed, step and memory of a run, measured beside predicted.

    Args:
        model: What it trains.
        start: How the run began; it says in which way.
        measured: What it did.
        on: Device to predict it on; this machine's record for such a run when None, where there is one.

    Returns:
        Rows; none where there is no record of this machine, or the run does not tell its passes or has no step.

    Raises:
        UnknownError: No such device.
    """
    device_ref = on or machine_record(processes=start.devices, threads=start.threads, accelerated=start.device != "cpu")
    if device_ref is None or start.micro_batch is None or measured.tokens_per_s is None:
        return ()
    step, memory = predicted_training(
        model, device_ref, ranks=start.devices, sequence_tokens=start.sequence_tokens,
        batch=start.batch_tokens // start.sequence_tokens, micro_batch=start.micro_batch, dtype=start.dtype,
        sharding="fsdp" if start.sharding == "fsdp" else "ddp", lora_rank=start.lora_rank,
    )  # fmt: skip
    speed, step_s = flat(step.tokens_per_s), flat(step.step_s)
    return (
        row("time_to_value", "training", "a step", "s", measured.step_s, step_s, note=f"predicted on {device_ref}"),
        row("optimisation_goals", "training", "speed", "token_per_s", measured.tokens_per_s, speed),
        row(
            "hardware_requirements", "training", "memory of a process", "bytes", measured.peak_memory_bytes,
            flat(memory.total_bytes),
        ),
    )  # fmt: skip


def load_rows(
    model: arch.Model,
    measured: ServingMetrics,
    *,
    on: str,
    isl_tokens: float,
    osl_tokens: float,
    users: float | None,
    request_rate_per_s: float | None,
    replicas: int,
    slots: int | None,
    engine: str,
    weight_dtype: str | None,
) -> tuple[Row, ...]:
    """Return latencies and throughput of a load, measured beside predicted: means, over all replicas alike.

    Args:
        model: What is served.
        measured: What the load saw.
        on: Device of each replica.
        isl_tokens, osl_tokens: Of a request, mean.
        users: Of the whole load, where it is a closed loop.
        request_rate_per_s: Of the whole load, where it is an open one.
        replicas: That share it evenly.
        slots: Requests at once on a replica; the engine's own limit when None.
        engine: As the catalogue names it.
        weight_dtype: As stored when None.

    Raises:
        DoesNotFitError: The model does not fit the device.
        UnknownError: No such device or engine.
    """
    load = predicted_load(
        model, on, isl_tokens=isl_tokens, osl_tokens=osl_tokens,
        users=None if users is None else max(users / replicas, 1.0),
        request_rate_per_s=None if request_rate_per_s is None else request_rate_per_s / replicas,
        engine=engine, slots=slots, weight_dtype=weight_dtype,
    )  # fmt: skip
    seconds = (
        ("TTFT", measured.ttft, load.ttft_s), ("TPOT", measured.tpot, load.tpot_s), ("E2E", measured.e2e, load.e2e_s),
    )  # fmt: skip
    speed = flat(load.output_tokens_per_s) * replicas
    return (
        *(row("time_to_value", "inference", f"{label}, mean", "s", seen.mean_s, flat(s)) for label, seen, s in seconds),
        row(
            "optimisation_goals", "inference", "output throughput", "token_per_s", measured.output_tokens_per_s, speed,
            note=f"predicted for {replicas} x {engine} on {on}",
        ),
    )  # fmt: skip
