"""Hardware as the rest of the program sees it: plain SI numbers, with their figures beside them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from steelyard.records.figure import Figure


@dataclass(frozen=True, slots=True, kw_only=True)
class Accelerator:
    """One accelerator as printed by its vendor; corrections are never mixed in (see `Efficiency` in `device`).

    `peak_flop_per_s` is the dense rate by compute dtype ("fp32", "tf32", "fp16", "bf16", "fp8", "fp4", "int8");
    a dtype that is absent has no hardware rate. Bandwidths are per device, one direction. 0 means "none".
    """

    id: str
    name: str
    vendor: str
    year: int
    peak_flop_per_s: Mapping[str, float] = field(hash=False)
    hbm_bytes: float
    hbm_bytes_per_s: float
    scale_up_bytes_per_s: float  # NVLink, xGMI, ICI; 0 where devices only share PCIe
    scale_up_devices: int  # devices in one scale-up domain, 1 where there is none
    scale_out_bytes_per_s: float  # NIC share of one device
    pcie_bytes_per_s: float
    tdp_w: float
    idle_w: float
    devices_per_node: int
    figures: Mapping[str, Figure] = field(hash=False)  # field name (peak_flop_per_s.bf16 for rates) -> figure
    l2_bytes: float = 0.0  # of the last cache before memory
    l2_bytes_per_s: float = 0.0  # out of it; 0 where it is not stated: then weights always come from memory
    memory_type: str = ""  # "HBM3e", "GDDR6X"; a name that says another is of another device
    aliases: tuple[str, ...] = ()
    notes: str = ""
