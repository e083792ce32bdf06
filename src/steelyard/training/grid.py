"""Every layout of a device count, in blocks: rows of what the operators depend on, columns of what they do not."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from steelyard.arch import Model
from steelyard.errors import InputError, unknown
from steelyard.training.layout import RECOMPUTE, Layout, broken_rules

Mask = npt.NDArray[np.bool_]
Whole = npt.NDArray[np.int64]
AXES = ("tp", "pp", "vpp", "dp", "cp", "ep", "zero_stage", "micro_batch", "recompute")
_ZERO_STAGES = (0, 1, 2, 3)
_BATCH_TOLERANCE = 0.1  # the global batch is rounded to whole sequences of each rank within this share
_BLOCK = 1 << 15  # layouts evaluated at once: the arrays of a formula stay in the processor's second-level cache


@dataclass(frozen=True, slots=True, kw_only=True)
class Space:
    """Which layouts a search looks at: all that keep the rules, less what the user rules out.

    Args:
        only: Values allowed, by field of `Layout`; a field that is absent may take any.
        at_most: Largest value allowed, by field.

    Raises:
        InputError: A field that no search chooses.
    """

    only: Mapping[str, tuple[int | str, ...]] = field(default_factory=dict)
    at_most: Mapping[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in (*self.only, *self.at_most):
            if name not in AXES:
                raise InputError(unknown("axis of a search", name, AXES))
        for kind in self.only.get("recompute", ()):
            if kind not in RECOMPUTE:
                raise InputError(unknown("recompute", str(kind), RECOMPUTE))

    def keep(self, name: str, values: Any) -> npt.NDArray[Any]:
        """Return those of the values of a field that are allowed."""
        array = np.asarray(values)
        if name in self.only:
            array = array[np.isin(array, self.only[name])]
        return array[array <= self.at_most[name]] if name in self.at_most else array


def blocks(model: Model, count: int, *, seq_tokens: float, batch: float, space: Space) -> Iterator[tuple[Layout, Mask]]:
    """Yield all layouts of a device count, and which of them are valid and distinct.

    Args:
        model: From `arch`.
        count: Devices, all of them used.
        seq_tokens: Tokens of one sequence.
        batch: Sequences of the global batch asked for.
        space: What may be chosen.

    Yields:
        Blocks of one pipeline depth: `tp`, `cp`, `ep`, `dp` and the micro-batch lie along the first axis, `vpp`,
        recomputation and the ZeRO stage along one each. Operators are so timed once a row.
    """
    columns = len(RECOMPUTE) * len(_ZERO_STAGES)
    for pp in space.keep("pp", [p for p in divisors(count) if p <= model.num_layers]):
        vpp = space.keep("vpp", np.arange(1, model.num_layers // pp + 1) if pp > 1 else [1])
        rows = _rows(model, count, int(pp), seq_tokens=seq_tokens, batch=batch, space=space)
        height = max(_BLOCK // (columns * max(vpp.size, 1)), 1)
        for start in range(0, rows["tp"].size if vpp.size else 0, height):
            yield _block(model, {name: values[start : start + height] for name, values in rows.items()}, vpp, space)


def _rows(model: Model, count: int, pp: int, *, seq_tokens: float, batch: float, space: Space) -> dict[str, Whole]:
    """Return all (tp, cp, ep, dp, micro-batch) of a count and a pipeline depth, one array each."""
    ranks = count // pp
    halves = int(seq_tokens) // 2 if seq_tokens % 2 == 0 else 1  # a causal sequence is cut in 2 cp, for balance
    slices = math.gcd(ranks, halves)
    tp, cp = np.ix_(space.keep("tp", divisors(math.gcd(ranks, model.num_heads))), space.keep("cp", divisors(slices)))
    dp = np.maximum(ranks // (tp * cp), 1)
    per_rank = np.maximum(np.rint(batch / dp), 1).astype(np.int64)
    usable = (ranks % (tp * cp) == 0) & (np.abs(per_rank * dp - batch) <= _BATCH_TOLERANCE * batch)
    usable &= np.isin(dp, space.keep("dp", np.unique(dp)))
    passes = {int(size): divisors(int(size)) for size in np.unique(per_rank[usable])}
    micros = space.keep("micro_batch", sorted(set().union(*passes.values())))
    experts = space.keep("ep", divisors(max(model.num_experts, 1)))
    fits = usable[..., None, None] & (per_rank[..., None, None] % np.maximum(micros, 1) == 0)
    i, j, k, m = np.nonzero(np.broadcast_to(fits, (*usable.shape, experts.size, micros.size)))
    return {
        "tp": tp[i, 0], "cp": cp[0, j], "ep": experts[k], "micro_batch": micros[m], "dp": dp[i, j],
        "pp": np.full(i.size, pp), "global_batch": (per_rank * dp)[i, j],
    }  # fmt: skip


def _block(model: Model, rows: Mapping[str, Whole], vpp: Whole, space: Space) -> tuple[Layout, Mask]:
    axes = {name: values[:, None, None, None] for name, values in rows.items()}
    layout = Layout(
        **axes,
        vpp=vpp[:, None, None],
        recompute=space.keep("recompute", RECOMPUTE)[:, None],
        zero_stage=space.keep("zero_stage", _ZERO_STAGES),
    )
    # A single rank has nothing to split its states over: all stages are the same layout.
    valid: Mask = (np.asarray(layout.zero_stage) == 0) | (axes["dp"] * axes["cp"] > 1)
    for broken in broken_rules(model, layout).values():
        valid = valid & ~broken
    shape = (rows["tp"].size, vpp.size, np.size(layout.recompute), np.size(layout.zero_stage))
    return layout, np.broadcast_to(valid, shape)


def pick(layout: Layout, places: npt.NDArray[np.intp], shape: tuple[int, ...]) -> Layout:
    """Return the layouts at flat places of a block of this shape, as one array a field."""
    index = np.unravel_index(places, shape)

    def at(value: Any) -> Any:
        return np.broadcast_to(value, shape)[index]

    return Layout(**{name: at(getattr(layout, name)) for name in fields()})


def layout_at(layouts: Layout, place: int) -> Layout:
    """Return one layout out of arrays of them."""
    return Layout(**{name: np.asarray(getattr(layouts, name))[place].item() for name in fields()})


def fields() -> tuple[str, ...]:
    """Return the names of the fields of a layout."""
    return tuple(item.name for item in dataclasses.fields(Layout))


def divisors(number: int) -> list[int]:
    """Return the divisors of a whole number, ascending.

    Example:
        >>> divisors(18), divisors(0)
        ([1, 2, 3, 6, 9, 18], [1])
    """
    small = [d for d in range(1, math.isqrt(max(number, 1)) + 1) if number % d == 0]
    return sorted({*small, *(number // d for d in small)}) if number else [1]
