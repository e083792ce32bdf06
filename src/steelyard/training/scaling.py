"""Tokens per second against the number of devices, and where more of them stop paying."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from steelyard.arch import Model
from steelyard.device import Device
from steelyard.errors import InputError
from steelyard.records.term import term
from steelyard.training.best import Plan, best_layouts
from steelyard.units import Array

Mode = Literal["strong", "weak"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scaling:
    """One point for each device count, each with its best layout."""

    tokens_per_s: Array = term("tokens per second", "token_per_s", "of the fastest layout that fits")
    num_devices: Array = term("devices", "device")
    efficiency_ratio: Array = term(
        "scaling efficiency",
        "ratio",
        "tokens per second and device / those of the smallest count",
        parts=("tokens_per_s",),
    )
    marginal_ratio: Array = term(
        "worth of the devices added last",
        "ratio",
        "added tokens per second and added device / those of the smallest count",
    )
    step_s: Array = term("step time", "s")
    exposed_comm_ratio: Array = term("communication that nothing hides", "ratio", "exposed_comm_s / step_s")
    bubble_ratio: Array = term("pipeline bubble", "ratio", "bubble_s / step_s")
    mfu_ratio: Array = term("model FLOP utilisation", "ratio")
    plans: tuple[Plan, ...]

    def diminishing_devices(self, worth_ratio: float = 0.5) -> int | None:
        """Return the count at which added devices are worth less than `worth_ratio` of the first; None if never."""
        below = np.flatnonzero(np.asarray(self.marginal_ratio) < worth_ratio)
        return int(np.asarray(self.num_devices)[below[0]]) if below.size else None


def scaling(
    model: Model,
    device: Device,
    counts: Sequence[int],
    *,
    seq_tokens: float,
    global_batch_tokens: float,
    mode: Mode = "strong",
    compute_dtype: str = "bf16",
    method: str = "full",
) -> Scaling:
    """Return tokens per second and efficiency for each device count, the best layout at each.

    Args:
        model: From `arch`.
        device: Device kind.
        counts: Device counts, ascending.
        seq_tokens: Tokens of one sequence.
        global_batch_tokens: Tokens of one optimizer step (weak: at the first count).
        mode: "strong" keeps the global batch, "weak" grows it with the devices.
        compute_dtype: Of the matrix products.
        method: "full" or "lora".

    Raises:
        InputError: Counts not ascending, an unknown mode, or a count no layout divides.
        DoesNotFitError: A count that is too small for the model.

    Assumes:
        Failures are apart (`run`): these are the tokens per second while the job runs.
    """
    numbers: npt.NDArray[np.float64] = np.asarray(counts, np.float64)
    if not len(counts) or np.any(np.diff(numbers) <= 0):
        raise InputError(f"device counts must be ascending, got {list(counts)}")
    if mode not in ("strong", "weak"):
        raise InputError(f"scaling mode is {mode!r}; allowed: strong, weak")
    batch = global_batch_tokens * (numbers / numbers[0] if mode == "weak" else np.ones_like(numbers))
    return scaling_of(
        best_layouts(
            model,
            device,
            counts,
            seq_tokens=seq_tokens,
            global_batch_tokens=batch,
            compute_dtype=compute_dtype,
            method=method,
        )
    )


def scaling_of(plans: Sequence[Plan]) -> Scaling:
    """Return tokens per second and efficiency of plans of one job, one for each device count, ascending."""
    numbers = np.array([float(np.asarray(plan.layout.num_devices)) for plan in plans])

    def of(name: str) -> npt.NDArray[np.float64]:
        return np.array([float(getattr(plan.step, name)) for plan in plans])

    speed = of("tokens_per_s")
    single = speed[0] / numbers[0]
    marginal = np.ones_like(speed)
    marginal[1:] = np.diff(speed) / np.diff(numbers) / single
    return Scaling(
        tokens_per_s=speed,
        num_devices=numbers,
        efficiency_ratio=speed / numbers / single,
        marginal_ratio=marginal,
        step_s=of("step_s"),
        exposed_comm_ratio=of("exposed_comm_s") / of("step_s"),
        bubble_ratio=of("bubble_s") / of("step_s"),
        mfu_ratio=of("mfu_ratio"),
        plans=tuple(plans),
    )
