"""Small models trained and served, to learn what engines make of a machine beyond single kernels."""

from __future__ import annotations

import dataclasses
import sysconfig
import tempfile
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from steelyard.records.trial import Probe, ServingTrial

if TYPE_CHECKING:
    from steelyard.measure.trial.plan import TrialPlan

_ENGINES = ("torch", "transformers", "tokenizers", "safetensors", "peft", "xllamacpp", "gguf", "starlette", "uvicorn")
_SHAPES = (  # parameters, vocabulary, tokens of a sequence, sequences: what differs most between small models
    ("400k", 512, 64, 32),
    ("5M", 2048, 256, 4),
)
_SCALING_S, _LOAD_S, _STEPS = 4.0, 3.0, 6
_SHORT_TOKENS, _LONG_TOKENS = 32, 64  # of prompts and of answers: two, to tell what grows with the context


def can_probe() -> bool:
    """Tell whether what trains and serves is installed."""
    return all(find_spec(name) is not None for name in _ENGINES)


def measure_probes(told: Callable[[str], None]) -> tuple[Probe, ...]:
    """Train and serve two small models of different shapes, alone and as many at once as there are cores.

    Args:
        told: Called with what is measured next.

    Raises:
        OutsideProgramError: An engine failed.
    """
    with tempfile.TemporaryDirectory(prefix="steelyard-") as folder:
        return tuple(_probes(Path(folder), told))


def _probes(folder: Path, told: Callable[[str], None]) -> Iterator[Probe]:
    from steelyard.measure.trial.plan import TrialPlan
    from steelyard.measure.trial.serving import measure_users, served
    from steelyard.measure.trial.training import config_of, kept_trial, measure_scaling, train_kept

    for params, vocabulary, sequence, batch in _SHAPES:
        plan = TrialPlan(
            params=params, vocabulary=vocabulary, sequence_tokens=sequence, batch=batch, train_s=60.0,
            train_steps=_STEPS, scaling_s=_SCALING_S, load_s=_LOAD_S, questions=0,
            isl_tokens=_SHORT_TOKENS, osl_tokens=_SHORT_TOKENS,
            data=Path(sysconfig.get_path("stdlib")) / "asyncio",
        )  # fmt: skip
        told(f"a probe of {params} parameters: trained")
        kept = folder / params
        whole = kept_trial(plan, train_kept(plan, kept))
        parts = measure_scaling(plan, folder / f"{params}-parts", kept, whole)
        told(f"a probe of {params} parameters: served")
        serving: list[ServingTrial] = []
        held: list[float | None] = []
        for replicas in (1, plan.copies):
            with served(plan, kept / "model", replicas) as address:
                for asked, users in _loads(plan):
                    serving.append(measure_users(asked, address.endpoint, replicas, users * replicas))
                held.append(address.process.resident_bytes())
        yield Probe(
            config=config_of(kept), training=(whole, *parts.values()), serving=tuple(serving), serving_bytes=held[0]
        )


def _loads(plan: TrialPlan) -> tuple[tuple[TrialPlan, int], ...]:
    """Return the loads of a probe: prompts and answers, and the users of each replica."""
    long = dataclasses.replace(plan, isl_tokens=_LONG_TOKENS, osl_tokens=_LONG_TOKENS)
    return (plan, 1), (plan, plan.slots // 2), (plan, plan.slots), (long, 1), (long, plan.slots)
