"""The claim that inference scales by adding replicas while training is limited by gradient communication."""

from __future__ import annotations

import numpy as np

from steelyard import arch, catalog, device, inference, training
from steelyard.compare.claim import (
    HOLDS_IF,
    NEARLY_ALL_RATIO,
    Claim,
    Number,
    anchor,
    predicted,
    published,
    verdict_of_cases,
)
from steelyard.economics.provenance import source_ids

REPLICAS = (1.0, 4.0, 16.0, 64.0)
MODEL, DEVICE = "llama-3.1-405b", "h100-sxm5-80gb"
COUNTS = (1024, 4096, 16384)  # what is asked about: a frontier model, its batch held fixed
SEQ_TOKENS, GLOBAL_BATCH_TOKENS = 8192.0, 16.0 * 2**20
PUBLISHED_MFU = ("llama-3.1-mfu-8k", "llama-3.1-mfu-16k")


def scaling() -> Claim:
    """Judge "inference scales horizontally, training is limited by gradient communication".

    A preset scales when a replica among the most keeps 90% of the capacity of one alone. Training is limited by
    communication when devices lose 10% or more of their speed from the smallest to the largest count, and exposed
    communication grew by more than the pipeline bubble did.
    """
    counts = np.array(REPLICAS)
    numbers: list[Number] = []
    cases: dict[str, bool] = {}
    for name, workload in catalog.workloads().items():
        kept = float(np.asarray(inference.replica_scaling(workload, counts))[-1])
        cases[f"requests like {name}"] = kept >= NEARLY_ALL_RATIO
        numbers.append(predicted(f"{name}: capacity of one replica among {counts[-1]:.0f}", kept, "ratio"))
    grown = training.scaling(
        arch.load(MODEL), device.load(DEVICE), COUNTS, seq_tokens=SEQ_TOKENS, global_batch_tokens=GLOBAL_BATCH_TOKENS
    )
    efficiency, exposed, bubble = (
        np.asarray(values) for values in (grown.efficiency_ratio, grown.exposed_comm_ratio, grown.bubble_ratio)
    )
    cases["training"] = bool(efficiency[-1] < NEARLY_ALL_RATIO and exposed[-1] - exposed[0] > bubble[-1] - bubble[0])
    for index, count in enumerate(COUNTS):
        numbers += [
            predicted(f"{MODEL} on {count}: efficiency against {COUNTS[0]}", efficiency[index], "ratio"),
            predicted(f"{MODEL} on {count}: exposed communication", exposed[index], "ratio"),
            predicted(f"{MODEL} on {count}: pipeline bubble", bubble[index], "ratio"),
        ]
    numbers += [published(catalog_name, anchor(catalog_name)) for catalog_name in PUBLISHED_MFU]
    verdict, true = verdict_of_cases(cases)
    return Claim(
        id="scaling",
        text="inference scales horizontally, training is limited by gradient communication",
        verdict=verdict,
        condition=_condition(cases) if verdict == HOLDS_IF else "",
        sentence=(
            f"{sum(name != 'training' for name in true)} of {len(cases) - 1} presets keep 90% of a replica's capacity "
            f"among {counts[-1]:.0f} replicas; {MODEL} at a fixed batch keeps {efficiency[-1]:.0%} of its speed per "
            f"device from {COUNTS[0]:,} to {COUNTS[-1]:,} devices, with {exposed[-1]:.0%} of a step in exposed "
            f"communication and {bubble[-1]:.0%} in the pipeline bubble."
        ),
        numbers=tuple(numbers),
        sources=source_ids([anchor(name).source for name in (*PUBLISHED_MFU, "prefix-hit-replicas-1")]),
    )


def _condition(cases: dict[str, bool]) -> str:
    failing = [name for name, true in cases.items() if not true]
    inference_side = [name.removeprefix("requests like ") for name in failing if name != "training"]
    parts = []
    if inference_side:
        parts.append(f"requests share few prefixes (not {', '.join(inference_side)}), or are routed by prefix")
    if "training" in failing:
        parts.append("the batch does not shrink per device: at a fixed batch the pipeline bubble costs more")
    return "; ".join(parts)
