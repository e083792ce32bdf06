"""Candidate layouts as one open grid: every field is an array along its own axis, so that each term is computed once
for what it depends on."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from steelyard.arch import Model
from steelyard.device import Device
from steelyard.training.layout import RECOMPUTE, Layout, broken_rules
from steelyard.units import Array

Mask = npt.NDArray[np.bool_]
_LARGEST_TP = 16  # wider groups make the matrices too thin
_MOST_STAGES = 64
_SHORTEST_SLICE = 1024  # tokens of a sequence that a context-parallel rank keeps at least
_BATCH_TOLERANCE = 0.1  # the global batch is rounded to whole micro-batches within this share


def candidates(
    model: Model,
    device: Device,
    counts: Sequence[int],
    *,
    seq_tokens: float,
    global_batch: Array,
    zero_stages: Iterable[int] = (1, 2, 3),
) -> tuple[Layout, Mask]:
    """Return the candidate layouts, the device counts along their first axis, and where they are valid.

    The global batch (sequences, one for each count) is rounded to whole micro-batches of all ranks.
    """
    card, largest = device.accelerator, max(counts)
    domain = max(card.scale_up_devices, card.devices_per_node, 1)
    axes = [
        np.asarray(counts, np.int64),
        _powers(min(domain, model.num_heads, largest, _LARGEST_TP)),
        np.array([p for p in range(1, min(model.num_layers, _MOST_STAGES) + 1) if any(n % p == 0 for n in counts)]),
        np.array([1, 2, 4]),
        _powers(int(min(largest, max(seq_tokens // _SHORTEST_SLICE, 1), 64))),
        _powers(min(model.num_experts, largest)),
        np.array([1, 2, 4, 8]),
        np.arange(len(RECOMPUTE)),
        np.array(sorted(zero_stages)),
    ]
    num, tp, pp, vpp, cp, ep, micro, recompute, zero = np.ix_(*axes)
    replica = tp * pp * cp
    dp = np.maximum(num // replica, 1)
    asked = np.reshape(global_batch, num.shape)
    batch = np.maximum(np.rint(asked / (dp * micro)), 1).astype(np.int64) * dp * micro
    layout = Layout(
        tp=tp, pp=pp, vpp=vpp, dp=dp, cp=cp, ep=ep, zero_stage=zero, micro_batch=micro, global_batch=batch,
        recompute=np.array(RECOMPUTE)[recompute],
    )  # fmt: skip
    valid = (num % replica == 0) & (np.abs(batch - asked) <= _BATCH_TOLERANCE * asked)
    for broken in broken_rules(model, layout).values():
        valid = valid & ~broken
    return layout, valid


def pick(layout: Layout, index: tuple[int, ...]) -> Layout:
    """Return the one layout at an index of the broadcast grid."""

    def one(value: Any) -> Any:
        array = np.asarray(value)
        if not array.ndim:  # the same in every layout
            return value
        return array[tuple(0 if size == 1 else i for size, i in zip(array.shape, index, strict=True))].item()

    return Layout(**{name: one(getattr(layout, name)) for name in Layout.__slots__})


def _powers(largest: int) -> npt.NDArray[np.int64]:
    return 2 ** np.arange(max(int(largest), 1).bit_length())
