"""How a training run is split over devices: the layout, the rules it must keep, and who holds which parameters."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, get_args

import numpy as np
import numpy.typing as npt

from steelyard.errors import InputError
from steelyard.units import Array

if TYPE_CHECKING:
    from steelyard.arch import Model

Count: TypeAlias = npt.NDArray[Any] | int
"""A whole number, or an array of them."""

Recompute: TypeAlias = Literal["none", "selective", "full"]
RECOMPUTE: tuple[Recompute, ...] = get_args(Recompute)
Schedule: TypeAlias = Literal["1f1b", "zero_bubble"]
SCHEDULES: tuple[Schedule, ...] = get_args(Schedule)
MAX_DEVICES = 10_000_000
ENDS = 2  # embedding and head may be virtual stages of their own (Llama 3 herd, arXiv 2407.21783, section 3.3.2)


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """A layout, or as many as its arrays hold: every field may be an array and they broadcast together.

    `ep` is taken out of the tensor-, context- and data-parallel ranks and not multiplied in; an expert's feed-forward
    is split over the `tp / ep` ranks that are left where `ep` is below `tp`.
    """

    tp: Count = 1
    pp: Count = 1
    vpp: Count = 1  # virtual stages a device holds (interleaved 1F1B), 1 = plain 1F1B
    dp: Count = 1
    cp: Count = 1
    ep: Count = 1
    zero_stage: Count = 1  # 0 nothing, 1 optimizer states, 2 + gradients, 3 + weights split over dp x cp
    micro_batch: Count = 1  # sequences of one data-parallel rank in one pass
    global_batch: Count = 1  # sequences of one optimizer step over all ranks
    recompute: str | npt.NDArray[np.str_] = "none"
    replicas: Count = 1  # copies of the states that ZeRO splits: above 1 is HSDP, each over dp / replicas ranks
    schedule: str | npt.NDArray[np.str_] = (
        "1f1b"  # of the pipeline; "zero_bubble" fills idle time with weight gradients
    )

    @property
    def num_devices(self) -> Count:
        return self.tp * self.pp * self.dp * self.cp

    @property
    def num_microbatches(self) -> Array:
        """Passes of one data-parallel rank per optimizer step."""
        return np.asarray(self.global_batch, np.float64) / (np.asarray(self.dp) * self.micro_batch)

    @property
    def expert_tp(self) -> Count:
        """Ranks that one expert's feed-forward is split over."""
        return np.maximum(np.asarray(self.tp) // self.ep, 1)

    @property
    def expert_dp(self) -> Array:
        """Ranks that hold a copy of the same experts."""
        ranks = np.asarray(self.dp, np.float64) * self.cp * self.tp
        return ranks / (np.asarray(self.ep) * self.expert_tp)

    @property
    def zero_ranks(self) -> Array:
        """Ranks over which ZeRO splits the dense states."""
        return np.asarray(self.dp, np.float64) * self.cp / self.replicas

    @property
    def zero_expert_ranks(self) -> Array:
        """Ranks over which ZeRO splits the states of the same experts."""
        return np.maximum(self.expert_dp / self.replicas, 1.0)

    @property
    def num_groups(self) -> Count:
        """Kinds of groups that a device communicates in, each with buffers of its own: tp, pp, dp, cp, ep."""
        return sum((np.asarray(ranks) > 1).astype(np.int64) for ranks in (self.tp, self.pp, self.dp, self.cp, self.ep))

    def is_recompute(self, kind: Recompute) -> npt.NDArray[np.bool_]:
        same: npt.NDArray[np.bool_] = np.asarray(self.recompute) == kind
        return same


def broken_rules(model: Model, layout: Layout) -> dict[str, npt.NDArray[np.bool_]]:
    """Return, for each rule a layout must keep, where it is broken; the key says the rule in the user's words."""
    tp, pp, vpp, dp, cp = (np.asarray(getattr(layout, name)) for name in ("tp", "pp", "vpp", "dp", "cp"))
    batch, micro = np.asarray(layout.global_batch), np.asarray(layout.micro_batch)
    zero = np.asarray(layout.zero_stage)
    experts = max(model.num_experts, 1)
    wrong = {f"{name} must be at least 1": np.asarray(getattr(layout, name)) < 1 for name in _AT_LEAST_ONE}
    safe = {name: np.maximum(np.asarray(getattr(layout, name)), 1) for name in _AT_LEAST_ONE}
    wrong |= {
        f"tp must divide the {model.num_heads} attention heads": model.num_heads % safe["tp"] != 0,
        f"pp must not exceed the {model.num_layers} layers": pp > model.num_layers,
        f"pp x vpp must not exceed the {model.num_layers} layers and the two ends": pp * vpp > model.num_layers + ENDS,
        "vpp above 1 needs pp above 1": (vpp > 1) & (pp == 1),
        "vpp above 1 needs num_microbatches to be a multiple of pp": (vpp > 1)
        & ((batch // (safe["dp"] * safe["micro_batch"])) % safe["pp"] != 0),
        f"ep must divide the {experts} experts": experts % safe["ep"] != 0,
        "ep must divide dp x cp x tp": (dp * cp * tp) % safe["ep"] != 0,
        "one of ep and tp must divide the other": (safe["ep"] % safe["tp"] != 0) & (safe["tp"] % safe["ep"] != 0),
        "global_batch must be a multiple of dp x micro_batch": batch % (safe["dp"] * micro.clip(1)) != 0,
        "zero_stage must be 0, 1, 2 or 3": (zero < 0) | (zero > 3),
        f"recompute must be one of {', '.join(RECOMPUTE)}": ~np.isin(np.asarray(layout.recompute), RECOMPUTE),
        f"num_devices must not exceed {MAX_DEVICES}": tp.astype(np.float64) * pp * dp * cp > MAX_DEVICES,
    }
    if np.any(np.asarray(layout.replicas) != 1):
        wrong["replicas must divide dp"] = dp % safe["replicas"] != 0
    if isinstance(layout.schedule, str) and layout.schedule == SCHEDULES[0]:
        return wrong
    wrong[f"schedule must be one of {', '.join(SCHEDULES)}"] = ~np.isin(np.asarray(layout.schedule), SCHEDULES)
    return wrong


_AT_LEAST_ONE = ("tp", "pp", "vpp", "dp", "cp", "ep", "micro_batch", "global_batch", "replicas")


def check(model: Model, layout: Layout) -> None:
    """Refuse a layout that breaks a rule, naming the rule.

    Raises:
        InputError: The first rule broken by any of the layouts.
    """
    for rule, broken in broken_rules(model, layout).items():
        if np.any(broken):
            shown = ", ".join(f"{name}={_first(getattr(layout, name), broken)}" for name in Layout.__slots__)
            raise InputError(f"layout ({shown}) for {model.id}: {rule}")


def first_broken_rule(model: Model, layout: Layout) -> str:
    """Return the first rule that one layout breaks, "" when it keeps all."""
    return next((rule for rule, broken in broken_rules(model, layout).items() if np.any(broken)), "")


def _first(value: object, broken: npt.NDArray[np.bool_]) -> object:
    """Return the value of a field in the first layout where `broken` holds."""
    array = np.asarray(value)
    if not array.ndim:
        return value
    shape = np.broadcast_shapes(array.shape, broken.shape)
    return np.broadcast_to(array, shape)[np.broadcast_to(broken, shape)][0]


def stage_layers(model: Model, layout: Layout) -> tuple[Array, Array]:
    """Return the layers on the fullest pipeline stage and on the last one.

    Where pp does not divide the layers, the last stage takes the smaller share since it also holds the head.
    """
    pp = np.asarray(layout.pp)
    return np.ceil(model.num_layers / pp), np.maximum(model.num_layers // pp, 1)


def slot_layers(model: Model, layout: Layout) -> Array:
    """Return the layers of a stage whose virtual stages all were as full as the fullest: what a bubble waits for.

    Where pp x vpp does not divide the layers, some virtual stages have one more, and while the pipeline fills and
    drains each stage waits for the fullest.

    Example:
        >>> from steelyard import arch
        >>> model = arch.load("llama-3.1-405b")  # 126 layers: 16 stages of at most 8, 64 virtual ones of at most 2
        >>> [float(slot_layers(model, Layout(pp=16, vpp=vpp))) for vpp in (1, 4, 7)]
        [8.0, 8.0, 14.0]
    """
    vpp = np.asarray(layout.vpp)
    layers: Array = vpp * np.ceil(model.num_layers / (np.asarray(layout.pp) * vpp))
    return layers
