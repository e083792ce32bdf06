"""Which matrices are stored and multiplied in which number format."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from steelyard.arch.dtypes import dtype_bytes, wide
from steelyard.arch.spec import Model

QUANTISED_GROUPS = ("attention", "mlp", "experts", "shared_experts")
"""What a quantised checkpoint stores narrow unless it says otherwise: not embeddings, head, routers and norms."""


@dataclass(frozen=True, slots=True)
class Formats:
    """Bytes per parameter of each group of matrices, and which groups run in the narrow compute format."""

    base_bytes: float
    group_bytes: tuple[tuple[str, float], ...]
    narrow_groups: tuple[str, ...]

    def param_bytes(self, group: str) -> float:
        """Return the bytes that a parameter of a group takes."""
        return dict(self.group_bytes).get(group, self.base_bytes)

    def compute(self, group: str, compute_dtype: str) -> str:
        """Return the format that a group is multiplied in when `compute_dtype` is asked for."""
        return compute_dtype if group in self.narrow_groups else wide(compute_dtype)


@lru_cache(maxsize=512)
def formats(model: Model, weight_dtype: str | None) -> Formats:
    """Return the formats for weights held as `weight_dtype` (None or the model's own: as its checkpoint stores them).

    A wide format holds for all weights. A narrow one holds for `QUANTISED_GROUPS`, the rest stays in bf16.
    """
    if weight_dtype is None or weight_dtype == model.weight_dtype:
        groups = tuple((one.group, one.param_bytes) for one in model.stored)
        narrow = tuple(group for group, _ in groups) or QUANTISED_GROUPS
        return Formats(dtype_bytes(model.base_dtype), groups, narrow)
    size = dtype_bytes(weight_dtype)
    if wide(weight_dtype) == weight_dtype:
        return Formats(size, (), QUANTISED_GROUPS)
    return Formats(dtype_bytes(wide(weight_dtype)), tuple((g, size) for g in QUANTISED_GROUPS), QUANTISED_GROUPS)
