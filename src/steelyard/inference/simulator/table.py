"""The table of step times that the event loop reads: the array formulas, evaluated once.

Axes: N decoding sequences, P prompt tokens of the step, C mean context of the decoding sequences, A mean context that a
prompt token attends to.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from steelyard import arch
from steelyard.device import Device, effective_compute_dtype, host_power_w, peak_flop_per_s, power_w
from steelyard.inference.deployment import Deployment
from steelyard.inference.engine import Engine, engine_for, served
from steelyard.inference.speculation import Speculation
from steelyard.inference.step import step

Grid = npt.NDArray[np.float64]
Cost = Callable[[Grid, Grid, Grid, Grid], tuple[Grid, Grid]]


@dataclass(frozen=True, slots=True, kw_only=True)
class StepTable:
    """Seconds and joules of a step of one replica on a grid; straight between the points, and beyond them."""

    sequences: Grid  # [N]
    prompt_tokens: Grid  # [P], from 0
    context_tokens: Grid  # [C]
    attended_tokens: Grid  # [A]
    step_s: Grid  # [N, P, C, A]
    energy_j: Grid  # [N, P, C, A], all devices of the replica with their share of the host
    idle_w: float = 0.0  # of the replica, between steps
    host_w: float = 0.0  # of its hosts, in a step and between: part of both
    num_devices: int = 1

    def scaled(self, time_ratio: float) -> StepTable:
        """Return the table of a replica whose steps take `time_ratio` times as long, at the same power."""
        return replace(self, step_s=self.step_s * time_ratio, energy_j=self.energy_j * time_ratio)


def step_table(
    model: arch.Model,
    device: Device,
    deployment: Deployment,
    *,
    engine: Engine | None = None,
    speculation: Speculation | None = None,
    max_sequences: int,
    token_budget: int,
    max_context_tokens: float,
) -> StepTable:
    """Return the step times of one replica, tabulated [s].

    Args:
        model, device, deployment: One replica.
        engine: Its overheads; the defaults for the device when None.
        speculation: A draft: a step's time is that of one token of each sequence, on average.
        max_sequences, token_budget, max_context_tokens: How far the table reaches.

    Returns:
        `StepTable`, about ten points to a decade on the axes that bend.

    Assumes:
        Prompt chunks of one step are alike: their number follows from the mean context that their tokens attend to.

    Example:
        >>> from steelyard import arch, device
        >>> table = step_table(arch.load("llama-3.1-8b"), device.load("h100"), Deployment(),
        ...                    max_sequences=256, token_budget=2048, max_context_tokens=8192.0)
        >>> bool((np.diff(table.step_s[:, 0, 3, 0]) >= 0).all())
        True
    """
    engine = engine or engine_for(device)
    peak = peak_flop_per_s(device, effective_compute_dtype(device, deployment.compute_dtype))
    devices = deployment.num_devices

    draft = speculation or Speculation()
    ran = served(device)

    def made(sequences: Grid, tokens: Grid, context: Grid, attended: Grid) -> tuple[Grid, Grid, Grid]:
        """Return seconds and FLOP of one pass, and the prompts in it."""
        chunk = np.clip(2.0 * attended, 1.0, np.maximum(tokens, 1.0))
        prompts = np.maximum(tokens / chunk, 1.0)
        done = step(
            model,
            device,
            deployment,
            decode_sequences=sequences,
            context_tokens=context,
            prefill_tokens=tokens,
            prompt_tokens=chunk,
            prompt_context_tokens=np.maximum(attended - chunk / 2.0, 0.0),
            prompt_ranks=prompts,
            decode_tokens=1.0 + draft.tokens,
            engine=engine,
        )
        return np.asarray(done.total_s), np.asarray(done.flop), prompts

    def cost(sequences: Grid, tokens: Grid, context: Grid, attended: Grid) -> tuple[Grid, Grid]:
        whole_s, flop, prompts = made(sequences, tokens, context, attended)
        plain_s, _, _ = made(sequences, 0.0 * tokens[:, :1], context, attended[..., :1])
        mfu = flop / (peak * whole_s)
        # A prompt is in one of the micro-batches that fill the stages: the others wait for it at one stage only.
        carried = np.clip(prompts / deployment.dp, 1.0, deployment.pp)
        filled = (deployment.pp + carried - 1.0) / deployment.pp
        alone_s = draft.step_s(whole_s, 0.0 * plain_s) * filled  # nothing else fills the pipeline
        among_s = draft.token_step_s(whole_s, plain_s, carried / deployment.pp)
        seconds = np.where(sequences > 0, among_s, alone_s)
        return seconds, seconds * devices * power_w(ran, 1.0, mfu_ratio=mfu)

    return tabulate(
        cost,
        max_sequences=max_sequences,
        token_budget=token_budget,
        max_context_tokens=max_context_tokens,
        idle_w=devices * float(np.max(power_w(ran, 0.0))),
        host_w=devices * float(np.max(host_power_w(ran))),
        num_devices=devices,
    )


def tabulate(
    cost: Cost,
    *,
    max_sequences: int,
    token_budget: int,
    max_context_tokens: float,
    idle_w: float = 0.0,
    host_w: float = 0.0,
    num_devices: int = 1,
) -> StepTable:
    """Return any cost function on a grid; it takes arrays that broadcast and returns seconds and joules."""
    sequences = _axis(max_sequences, 1.5)
    tokens = _axis(token_budget, 1.6)
    context = _axis(max_context_tokens, 3.0, first=64.0)
    attended = _axis(max_context_tokens, 4.0, first=64.0)
    axes = np.ix_(sequences, tokens, context, attended)
    shape = tuple(len(axis) for axis in (sequences, tokens, context, attended))
    seconds, joules = (np.broadcast_to(part, shape).astype(np.float64) for part in cost(*axes))
    return StepTable(
        sequences=sequences,
        prompt_tokens=tokens,
        context_tokens=context,
        attended_tokens=attended,
        step_s=seconds,
        energy_j=joules,
        idle_w=idle_w,
        host_w=host_w,
        num_devices=num_devices,
    )


def _axis(largest: float, ratio: float, first: float = 1.0) -> Grid:
    """Return 0, `first` and on in whole numbers that grow by `ratio` each, up to `largest`."""
    count = max(2, int(np.ceil(np.log(max(largest / first, ratio)) / np.log(ratio))) + 1)
    points = np.unique(np.round(np.geomspace(first, max(largest, first + 1.0), count)))
    return np.concatenate([[0.0], points])
