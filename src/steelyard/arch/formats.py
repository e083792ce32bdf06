"""Which matrices are stored and multiplied in which number format."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache

from steelyard.arch.dtypes import dtype_bytes, wide
from steelyard.arch.spec import Model

QUANTISED_GROUPS = ("attention", "mlp", "experts", "shared_experts")
"""What a quantised checkpoint stores narrow unless it says otherwise: not embeddings, head, routers and norms."""


@dataclass(frozen=True, slots=True)
class Formats:
    """Bytes per parameter of each matrix, and which matrices run in the narrow compute format."""

    base_bytes: float
    of_group: dict[str, float] = field(default_factory=dict)
    of_name: dict[str, float] | None = None  # None: `of_group` decides

    def param_bytes(self, name: str, group: str) -> float:
        """Return the bytes that a parameter of a matrix takes."""
        if self.of_name is not None:
            return self.of_name.get(name, self.base_bytes)
        return self.of_group.get(group, self.base_bytes)

    def compute(self, name: str, group: str, compute_dtype: str) -> str:
        """Return the format that a matrix is multiplied in when `compute_dtype` is asked for."""
        narrow = group in QUANTISED_GROUPS if self.of_name is None else name in self.of_name
        return compute_dtype if narrow else wide(compute_dtype)


@lru_cache(maxsize=512)
def formats(model: Model, weight_dtype: str | None) -> Formats:
    """Return the formats for weights held as `weight_dtype` (None or the model's own: as its checkpoint stores them).

    A wide format holds for all weights. A narrow one holds for `QUANTISED_GROUPS`, the rest stays in bf16.
    """
    if weight_dtype is None or weight_dtype == model.weight_dtype:
        base = dtype_bytes(model.base_dtype)
        return Formats(base, of_name={one.name: one.param_bytes for one in model.stored} if model.stored else None)
    size = dtype_bytes(weight_dtype)
    if wide(weight_dtype) == weight_dtype:
        return Formats(size)
    return Formats(dtype_bytes(wide(weight_dtype)), of_group=dict.fromkeys(QUANTISED_GROUPS, size))
