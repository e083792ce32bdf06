"""Claims about training: what GPT-4 cost, how long training takes, how many devices it needs."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import numpy as np
import numpy.typing as npt

from steelyard import arch, catalog, device, economics, inference, training
from steelyard.catalog import Row
from steelyard.compare.claim import (
    HOLDS_IF,
    NEARLY_ALL_RATIO,
    Claim,
    Number,
    anchor,
    bounds,
    computed,
    predicted,
    published,
    verdict_of_cases,
)
from steelyard.economics.provenance import source_ids
from steelyard.records.figure import Figure
from steelyard.units import format_quantity

GPT4 = "GPT-4"
LADDER = (  # models of about 1B, 3B, 8B, 30B, 70B, 120B, 400B, 700B and 1T parameters
    "llama-3.2-1b",
    "llama-3.2-3b",
    "llama-3.1-8b",
    "qwen3-32b",
    "llama-3.3-70b",
    "gpt-oss-120b",
    "llama-3.1-405b",
    "deepseek-v3",
    "kimi-k2",
)
SERVING_DEVICE = "h200-sxm-141gb"
TRAINING_DEVICE = "h100-sxm5-80gb"
SEQ_TOKENS = 4096.0
TUNED_MODEL, TUNING_TOKENS, TUNING_BATCH_TOKENS = "llama-3.1-8b", 15e6, 131072.0


def gpt4_training() -> Claim:
    """Judge "GPT-4 cost $50-100M to train": the reported run under three accountings at the prices of its day."""
    low_usd, high_usd = bounds("claim-gpt-4-training-cost")
    (run,) = catalog.table("trained_models").where(model=GPT4)
    chip = device.load(run["device"])
    device_s = training.device_s_for_flop(
        run.value("train_flop"),
        peak_flop_per_s=device.peak_flop_per_s(chip, "bf16"),
        mfu_ratio=run.value("mfu"),
    )
    bill = economics.training_accountings(
        device_s,
        device_s * device.power_w(chip, 1.0),
        chip,
        num_devices=run.value("n_chips"),
        as_of=date.fromisoformat(run["date"]),
    )
    usd = {"rented": bill.rented_usd, "amortised": bill.amortised_usd, "bought": bill.bought_usd}
    verdict, true = verdict_of_cases({name: bool(low_usd <= value <= high_usd) for name, value in usd.items()})
    flop = run.figures["train_flop"]
    spread = [end / flop.value for end in (flop.low, flop.high) if end is not None]
    numbers = [
        computed("A100 time at the reported efficiency", float(device_s), "device_s"),
        reported("A100 time reported", run.figures["gpu_hours"], "device_s"),
        computed("rented", float(bill.rented_usd), "usd", **_span(float(bill.rented_usd), spread)),
        computed("amortised on an owned cluster", float(bill.amortised_usd), "usd"),
        computed("cluster bought for it", float(bill.bought_usd), "usd"),
        published("training FLOP", flop),
        published("Epoch AI: amortised", run.figures["estimated_cost_low"]),
        published("Epoch AI: at cloud prices", run.figures["estimated_cost_high"]),
    ]
    counted = {name: format_quantity(float(value), "usd") for name, value in usd.items()}
    return Claim(
        id="gpt4_training",
        text="GPT-4 cost $50-100M to train",
        verdict=verdict,
        condition=f"the final run is counted as {' or '.join(true)}" if verdict == HOLDS_IF else "",
        sentence=(
            f"{flop.value:.2g} FLOP at the reported efficiency are "
            f"{format_quantity(float(device_s), 'device_s')} of A100; at prices of {run['date']} that is "
            f"{counted['rented']} rented, {counted['amortised']} amortised, and {counted['bought']} for the cluster; "
            "experiments and failed runs are not in it."
        ),
        numbers=tuple(numbers),
        sources=source_ids([run.source, *bill.rental.sources, *bill.owned.sources]),
    )


def time_to_value() -> Claim:
    """Judge "milliseconds to seconds against weeks to months": responses, published runs, and a fine-tuning job."""
    quick, slow = bounds("claim-inference-time"), bounds("claim-training-time")
    waits = [row for row in catalog.table("api_latency").rows if row.figure("ttft_p50")]
    firsts = np.array([row.value("ttft_p50") for row in waits])
    whole = np.array([row.value("e2e_p50") for row in waits if row.figure("e2e_p50")])
    runs = [row for row in catalog.table("trained_models").rows if row.figure("days") and row.figure("train_flop")]
    days = np.array([row.value("days") for row in runs])
    tuning = training.finetune(
        arch.load(TUNED_MODEL),
        device.load(TRAINING_DEVICE),
        tokens=TUNING_TOKENS,
        seq_tokens=SEQ_TOKENS,
        global_batch_tokens=TUNING_BATCH_TOKENS,
    )
    tuning_s = float(tuning.run.wall_s)
    answers = float(np.mean((firsts >= quick[0]) & (firsts <= quick[1])))
    pretraining = float(np.mean((days >= slow[0]) & (days <= slow[1])))
    cases = {
        "inference": answers >= NEARLY_ALL_RATIO,
        "pretraining": pretraining >= NEARLY_ALL_RATIO,
        "fine-tuning": slow[0] <= tuning_s <= slow[1],
    }
    verdict, true = verdict_of_cases(cases)
    least = _least_flop(runs, days >= slow[0])
    kinds = " and ".join(name for name in true if name != "inference")
    return Claim(
        id="time_to_value",
        text="milliseconds to seconds against weeks to months",
        verdict=verdict,
        condition=(f"training means {kinds}, from about {least:.2g} FLOP on" if verdict == HOLDS_IF else ""),
        sentence=(
            f"First tokens of {len(waits)} API entries come after {format_quantity(float(firsts.min()), 's')} to "
            f"{format_quantity(float(firsts.max()), 's')}; {len(runs)} published pretraining runs took "
            f"{format_quantity(float(days.min()), 's')} to {format_quantity(float(days.max()), 's')}; tuning "
            f"{TUNED_MODEL} with LoRA on {format_quantity(TUNING_TOKENS, 'token')} takes "
            f"{format_quantity(tuning_s, 's')} on one {TRAINING_DEVICE}."
        ),
        numbers=(
            computed("TTFT, median over APIs", float(np.median(firsts)), "s", low=firsts.min(), high=firsts.max()),
            computed(
                "whole response, median over APIs", float(np.median(whole)), "s", low=whole.min(), high=whole.max()
            ),
            computed("share of TTFT within milliseconds to seconds", answers, "ratio"),
            computed(
                "pretraining, median of published runs", float(np.median(days)), "s", low=days.min(), high=days.max()
            ),
            computed("share of pretraining runs within weeks to months", pretraining, "ratio"),
            predicted("LoRA fine-tuning", tuning_s, "s"),
            computed("training FLOP above which runs took weeks", least, "flop"),
        ),
        sources=source_ids([row.source for row in (*waits, *runs)]),
    )


def devices_needed() -> Claim:
    """Judge "1-8 GPUs for smaller models against thousands for training": by memory, and as published."""
    most_serving, least_training = bounds("claim-inference-devices")[1], anchor("claim-training-devices").value
    numbers: list[Number] = []
    served: dict[float, int] = {}
    for name in LADDER:
        model = arch.load(name)
        params = float(arch.count_params(model).total_params)
        served[params] = inference.least_devices(model, device.load(SERVING_DEVICE))
        trained = training.least_devices(model, device.load(TRAINING_DEVICE), seq_tokens=SEQ_TOKENS)
        numbers += [
            predicted(f"{name}: to serve, {SERVING_DEVICE}", served[params], "device"),
            predicted(f"{name}: to train, by memory, {TRAINING_DEVICE}", trained, "device"),
        ]
    runs = [row for row in catalog.table("trained_models").rows if row.figure("n_chips") and row.figure("train_flop")]
    counts = np.array([row.value("n_chips") for row in runs])
    thousands = float(np.mean(counts >= least_training))
    fitting = [params for params, count in served.items() if count <= most_serving]
    cases = {
        **{f"serving {params:.0f}": count <= most_serving for params, count in served.items()},
        **{f"training {row['model']}": row.value("n_chips") >= least_training for row in runs},
    }
    verdict, _ = verdict_of_cases(cases)
    least = _least_flop(runs, counts >= least_training)
    numbers += [
        computed("largest of these models on 8 devices or fewer", max(fitting), "param"),
        computed("share of published training runs on 1,000 devices or more", thousands, "ratio"),
        computed(
            "devices of published runs, median", float(np.median(counts)), "device", low=counts.min(), high=counts.max()
        ),
        computed("training FLOP above which runs took thousands of devices", least, "flop"),
        published("organisations whose largest cluster is below 2,048", anchor("futurum-clusters-below-2048")),
    ]
    return Claim(
        id="devices_needed",
        text="1-8 GPUs for smaller models against thousands for training",
        verdict=verdict,
        condition=(
            f"a served model has up to {format_quantity(max(fitting), 'param')} and training means pretraining from "
            f"about {least:.2g} FLOP on"
            if verdict == HOLDS_IF
            else ""
        ),
        sentence=(
            f"Of {len(served)} models from {format_quantity(min(served), 'param')} to "
            f"{format_quantity(max(served), 'param')}, {len(fitting)} are served by 8 {SERVING_DEVICE} or fewer; "
            f"{thousands:.0%} of {len(runs)} published training runs used 1,000 devices or more "
            f"({counts.min():.0f} to {counts.max():,.0f})."
        ),
        numbers=tuple(numbers),
        sources=source_ids([*(row.source for row in runs), anchor("futurum-clusters-below-2048").source]),
    )


def _least_flop(runs: list[Row], large: npt.NDArray[np.bool_]) -> float:
    """Return the least FLOP from which on nearly all runs are large; infinity where there is none."""
    order = np.argsort([row.value("train_flop") for row in runs])
    flop, true = np.array([row.value("train_flop") for row in runs])[order], np.asarray(large)[order]
    for index in range(len(flop)):
        if true[index] and true[index:].mean() >= NEARLY_ALL_RATIO:
            return float(flop[index])
    return float("inf")


def reported(label: str, figure: Figure, unit: str) -> Number:
    """Return a catalogue figure under the unit it is of: hours of devices are printed as hours."""
    return replace(published(label, figure), unit=unit)


def _span(value: float, ratios: list[float]) -> dict[str, float]:
    return {"low": value * min(ratios), "high": value * max(ratios)} if ratios else {}
