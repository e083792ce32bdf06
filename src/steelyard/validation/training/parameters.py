"""What is free in the fit to published training runs, where it is expected to lie, and what is fixed."""

from __future__ import annotations

from steelyard.training.calibration import FIELDS
from steelyard.validation.fit import Parameter

DEVICE_FAMILIES = ("amd", "google", "nvidia-bf16", "nvidia-fp16", "nvidia-fp4", "nvidia-fp8")
FAMILY_LOG_SD = 0.1  # of what one family of sources is off as a whole

SPEED: tuple[Parameter, ...] = (
    Parameter(name="gemm_time_ratio", value=1.15, log_sd_ratio=0.15),
    Parameter(name="untuned_time_ratio", value=1.4, log_sd_ratio=0.15, low=1.0),
    Parameter(name="ragged_time_ratio", value=1.3, log_sd_ratio=0.2, low=1.0),
    Parameter(name="throttle_exponent_ratio", value=0.3, log_sd_ratio=0.5, low=0.01, high=1.0),
    Parameter(name="expert_time_ratio", value=1.1, log_sd_ratio=0.2),
    Parameter(name="attention_time_ratio", value=1.2, log_sd_ratio=0.2),
    Parameter(name="scan_time_ratio", value=5.0, log_sd_ratio=0.5),  # Mamba-2 on an H100, vLLM pull request 27299
    Parameter(name="older_attention_time_ratio", value=2.0, log_sd_ratio=0.2, low=1.0, high=4.0),
    Parameter(name="score_time_ratio", value=1.2, log_sd_ratio=0.3),
    Parameter(name="elementwise_time_ratio", value=1.3, log_sd_ratio=0.3),
    Parameter(name="eager_time_ratio", value=1.5, log_sd_ratio=0.3),
    Parameter(name="fused_time_ratio", value=0.8, log_sd_ratio=0.3, high=1.0),
    Parameter(name="quantise_time_ratio", value=1.0, log_sd_ratio=0.5),
    Parameter(name="expand_time_ratio", value=3.0, log_sd_ratio=0.7),
    Parameter(name="host_layer_s", value=0.3e-3, log_sd_ratio=0.5),
    Parameter(name="host_eager_ratio", value=2.0, log_sd_ratio=0.3, low=1.0),
    Parameter(name="host_hook_s", value=2e-3, log_sd_ratio=0.5),
    Parameter(name="host_expert_s", value=2e-3, log_sd_ratio=0.5),
    Parameter(name="tp_serial_ratio", value=1.3, log_sd_ratio=0.3, low=0.5, high=3.0),
    Parameter(name="tp_exposed_ratio", value=0.4, log_sd_ratio=0.5, low=0.02, high=1.0),
    Parameter(name="ep_exposed_ratio", value=1.0, log_sd_ratio=0.3, low=0.05, high=3.0),
    Parameter(name="dp_overlap_ratio", value=0.8, log_sd_ratio=0.2, low=0.1, high=1.0),
    Parameter(name="straggler_ratio", value=0.006, log_sd_ratio=0.6, low=1e-4, high=0.05),
    *(Parameter(name=f"gemm_time_ratio.{family}", value=1.0, log_sd_ratio=0.1) for family in DEVICE_FAMILIES),
)
"""A device family's factor stays at 1 where no run tells: a family seen nowhere uses its parent."""

MEMORY: tuple[Parameter, ...] = (
    Parameter(name="fragmentation_ratio", value=1.05, log_sd_ratio=0.05, low=1.0, high=2.0),
    Parameter(name="overhead_bytes", value=1e9, log_sd_ratio=0.5),
    Parameter(name="group_bytes", value=1.5e9, log_sd_ratio=0.5),
)

FIXED = (
    "step_overhead_s", "attention_backward_time_ratio", "cp_overlap_ratio", "ep_hidden_ratio", "pp_exposed_ratio",
    "host_adapter_s", "host_ring_s",
)  # fmt: skip
"""Assumed or published, in the calibration: the runs do not determine them."""

assert {*FIELDS} == {p.name.partition(".")[0] for p in (*SPEED, *MEMORY)} | {*FIXED}
