"""How a model is laid out on the devices of one replica."""

from __future__ import annotations

from dataclasses import dataclass

from steelyard import arch
from steelyard.errors import InputError


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployment:
    """One replica: how it is cut over devices, and number formats."""

    tp: int = 1
    ep: int = 1  # experts spread whole over this many of the tp x dp ranks; 1: each is cut like a dense layer
    pp: int = 1  # pipeline stages, with as many micro-batches in flight
    dp: int = 1  # data-parallel ranks of attention, each with sequences of its own; experts are shared by all
    weight_dtype: str = "bf16"
    kv_dtype: str = "bf16"
    compute_dtype: str = "bf16"

    def __post_init__(self) -> None:
        for name in ("tp", "ep", "pp", "dp"):
            if getattr(self, name) < 1:
                raise InputError(f"deployment: {name} {getattr(self, name)}; it counts from 1 on")
        if (self.tp * self.dp) % self.ep:
            raise InputError(f"deployment: tp {self.tp}, dp {self.dp} and ep {self.ep}; ep must divide tp x dp")

    @property
    def num_devices(self) -> int:
        return self.tp * self.pp * self.dp


def deployment_for(
    model: arch.Model, tp: int, *, ep: int = 1, weight_dtype: str | None = None, kv_dtype: str | None = None
) -> Deployment:
    """Return a deployment in the formats that the model is stored in, unless others are asked for.

    8-bit weights compute in their own format (a device without it expands them); narrower weights compute in bf16
    except where the device has a 4-bit rate, as `device.effective_compute_dtype` decides.

    Example:
        >>> from steelyard import arch
        >>> deployment_for(arch.load("llama-3.1-8b"), 2, weight_dtype="fp8").compute_dtype
        'fp8'
    """
    weights = weight_dtype or model.weight_dtype
    return Deployment(tp=tp, ep=ep, weight_dtype=weights, kv_dtype=kv_dtype or "bf16", compute_dtype=weights)
