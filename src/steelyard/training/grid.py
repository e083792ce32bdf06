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
from steelyard.training.layout import ENDS, RECOMPUTE, SCHEDULES, Layout, broken_rules

Mask = npt.NDArray[np.bool_]
Whole = npt.NDArray[np.int64]
Places = npt.NDArray[np.intp]
AXES = ("tp", "pp", "vpp", "dp", "cp", "ep", "zero_stage", "replicas", "micro_batch", "recompute", "schedule")
_NAMES = {"recompute": RECOMPUTE, "schedule": SCHEDULES}
_ZERO_STAGES = (0, 1, 2, 3)
_KERNEL = ("tp", "cp", "ep", "micro_batch")  # what operators depend on
_TILE_TOKENS = (
    128  # rows that one tile of an attention kernel holds: shorter slices leave it idle, which is not modelled
)
_BATCH_TOLERANCE = 0.1  # the global batch is rounded to whole sequences of each rank within this share
_COLUMNS = 16  # of a row and a number of virtual stages, about: recomputation x ZeRO stage and replicas
_BLOCK = 1 << 16  # layouts evaluated at once: the arrays of a formula stay in the processor's second-level cache


@dataclass(frozen=True, slots=True, kw_only=True)
class Space:
    """Which layouts a search looks at: all that keep the rules, less what the user rules out.

    Args:
        only: Values allowed, by field of `Layout`; a field that is absent may take any. The schedule is the usual 1F1B
            unless others are named here: which ones there are depends on the software.
        at_most: Largest value allowed, by field.

    Raises:
        InputError: A field that no search chooses, or a name that it cannot have.
    """

    only: Mapping[str, tuple[int | str, ...]] = field(default_factory=dict)
    at_most: Mapping[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in (*self.only, *self.at_most):
            if name not in AXES:
                raise InputError(unknown("axis of a search", name, AXES))
        for name, known in _NAMES.items():
            for value in self.only.get(name, ()):
                if value not in known:
                    raise InputError(unknown(name, str(value), known))

    def keep(self, name: str, values: Any) -> npt.NDArray[Any]:
        """Return those of the values of a field that are allowed."""
        array = np.asarray(values)
        if name in self.only:
            array = array[np.isin(array, self.only[name])]
        return array[array <= self.at_most[name]] if name in self.at_most else array


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """Layouts of one pipeline depth, [rows, vpp, recompute and schedule, ZeRO stage and replicas]."""

    layout: Layout
    valid: Mask  # keeps all rules, and is no other layout by another name
    kernels: Places  # of each row, its place among `Grid.kernels`

    def rows(self, chosen: Places) -> Block:
        """Return some of the rows as a block."""

        def cut(value: Any) -> Any:
            return value[chosen] if np.ndim(value) == self.valid.ndim else value

        return Block(
            layout=Layout(**{name: cut(getattr(self.layout, name)) for name in fields()}),
            valid=self.valid[chosen],
            kernels=self.kernels[chosen],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Grid:
    """All layouts of a device count: `tp`, `cp`, `ep`, `dp`, the micro-batch by rows, the rest by columns."""

    model: Model
    space: Space
    table: Mapping[str, Whole]  # one row each, by pipeline depth
    kernels: Layout  # the distinct (tp, cp, ep, micro-batch), [K, 1, 1, 1]
    kernel_of: Places  # of each row

    def blocks(self) -> Iterator[Block]:
        """Yield the layouts in blocks that fit the processor's cache."""
        depths, starts = np.unique(self.table["pp"], return_index=True)
        ends = [*starts.tolist(), self.kernel_of.size][1:]
        for pp, start, end in zip(depths.tolist(), starts.tolist(), ends, strict=True):
            vpp = self.space.keep("vpp", np.arange(1, (self.model.num_layers + ENDS) // pp + 1) if pp > 1 else [1])
            height = max(_BLOCK // (_COLUMNS * max(vpp.size, 1)), 1)
            for first in range(start, end if vpp.size else 0, height):
                yield self._block(slice(first, min(first + height, end)), vpp)

    def _block(self, rows: slice, vpp: Whole) -> Block:
        axes = {name: values[rows, None, None, None] for name, values in self.table.items()}
        stage, replicas = self._sharding(np.unique(axes["dp"]))
        recompute = self.space.keep("recompute", RECOMPUTE)
        schedule = self.space.keep("schedule", SCHEDULES if "schedule" in self.space.only else SCHEDULES[:1])
        layout = Layout(
            **axes,
            vpp=vpp[:, None, None],
            recompute=np.repeat(recompute, schedule.size)[:, None],
            schedule=np.tile(schedule, recompute.size)[:, None] if schedule.size > 1 else schedule.item(),
            zero_stage=stage,
            replicas=replicas,
        )
        ranks = axes["dp"] * axes["cp"]
        # A single rank has nothing to split its states over; and what is not pipelined has no schedule.
        valid: Mask = ((stage == 0) | (ranks > replicas)) & ((layout.schedule == SCHEDULES[0]) | (axes["pp"] > 1))
        for broken in broken_rules(self.model, layout).values():
            valid = valid & ~broken
        shape = (axes["tp"].shape[0], vpp.size, recompute.size * schedule.size, stage.size)
        return Block(layout=layout, valid=np.broadcast_to(valid, shape), kernels=self.kernel_of[rows])

    def _sharding(self, dp: Whole) -> tuple[Whole, Whole]:
        """Return the (ZeRO stage, replicas) of the columns: what is not split has no shards to keep copies of."""
        stages = self.space.keep("zero_stage", _ZERO_STAGES)
        copies = self.space.keep("replicas", sorted({d for number in dp for d in divisors(int(number))}))
        pairs = [(stage, copy) for stage in stages for copy in copies if copy == 1 or stage > 0]
        table = np.array(pairs, np.int64).reshape(-1, 2)
        return table[:, 0], table[:, 1]


def grid(model: Model, count: int, *, seq_tokens: float, batch: float, space: Space) -> Grid:
    """Return all layouts of a device count.

    Args:
        model: From `arch`.
        count: Devices, all of them used.
        seq_tokens: Tokens of one sequence.
        batch: Sequences of the global batch asked for.
        space: What may be chosen.
    """
    depths = space.keep("pp", [p for p in divisors(count) if p <= model.num_layers])
    parts = [_rows(model, count, int(pp), seq_tokens=seq_tokens, batch=batch, space=space) for pp in depths]
    names = ("pp", "tp", "cp", "ep", "micro_batch", "dp", "global_batch")
    table = np.concatenate([np.zeros((0, len(names)), np.int64), *parts])
    by_name = dict(zip(names, table.T, strict=True))
    distinct, kernel_of = np.unique(np.stack([by_name[name] for name in _KERNEL], 1), axis=0, return_inverse=True)
    kernels = {name: column[:, None, None, None] for name, column in zip(_KERNEL, distinct.T, strict=True)}
    return Grid(model=model, space=space, table=by_name, kernels=Layout(**kernels), kernel_of=np.ravel(kernel_of))


def _rows(model: Model, count: int, pp: int, *, seq_tokens: float, batch: float, space: Space) -> Whole:
    """Return all (pp, tp, cp, ep, micro-batch, dp, global batch) of a count and a pipeline depth, like beside like."""
    ranks = count // pp
    heads = divisors(math.gcd(ranks, model.num_heads))
    tp, cp = np.ix_(space.keep("tp", heads), space.keep("cp", _slices(ranks, int(seq_tokens))))
    dp = np.maximum(ranks // (tp * cp), 1)
    per_rank = np.maximum(np.rint(batch / dp), 1).astype(np.int64)
    usable = (ranks % (tp * cp) == 0) & (np.abs(per_rank * dp - batch) <= _BATCH_TOLERANCE * batch)
    usable &= np.isin(dp, space.keep("dp", np.unique(dp)))
    passes = {d for size in np.unique(per_rank[usable]) for d in divisors(int(size))}
    micros, experts = space.keep("micro_batch", sorted(passes)), space.keep("ep", divisors(max(model.num_experts, 1)))
    fits = usable[..., None, None] & (per_rank[..., None, None] % np.maximum(micros, 1) == 0)
    i, j, k, m = np.nonzero(np.broadcast_to(fits, (*usable.shape, experts.size, micros.size)))
    columns = (tp[i, 0], cp[0, j], experts[k], micros[m], dp[i, j], (per_rank * dp)[i, j])
    table = np.stack([np.full(i.size, pp), *columns], 1).astype(np.int64)
    return table[np.lexsort((micros[m] * dp[i, j], dp[i, j]))]  # rows of a block share their columns, and mostly fit


def _slices(ranks: int, seq_tokens: int) -> list[int]:
    """Return the context-parallel ranks that a sequence can be cut for: a causal one in 2 cp slices, for balance."""
    halves = seq_tokens // 2 if seq_tokens % 2 == 0 else 1
    return [cp for cp in divisors(math.gcd(ranks, halves)) if cp == 1 or 2 * cp * _TILE_TOKENS <= seq_tokens]


def pick(layout: Layout, places: Places, shape: tuple[int, ...]) -> Layout:
    """Return the layouts at flat places of a block of this shape, as one array a field."""
    index = np.unravel_index(places, shape)

    def at(value: Any) -> Any:
        return np.broadcast_to(value, shape)[index]

    return Layout(**{name: at(getattr(layout, name)) for name in fields()})


def layout_at(layouts: Layout, place: int) -> Layout:
    """Return one layout out of arrays of them."""
    return Layout(**{name: np.asarray(getattr(layouts, name))[place].item() for name in fields()})


def in_array(layout: Layout) -> Layout:
    """Return one layout as arrays of one."""
    return Layout(**{name: np.atleast_1d(getattr(layout, name)) for name in fields()})


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
