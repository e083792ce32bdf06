"""What is free in the fit to published serving runs, where it is expected to lie, and what counts how much."""

from __future__ import annotations

from steelyard.validation.fit import Parameter

WEIGHTS = {"throughput": 1.0, "tpot": 1.0, "ttft": 0.5, "power": 0.5, "prefill": 0.5, "e2e": 0.5}
"""Metrics that the fit looks at, and how much each counts."""

EVIDENCE_ROWS, FULL_EVIDENCE_ROWS = 6.0, 300.0
"""What a family of so many rows counts in the fit, as independent measurements: its rows are variations of few
set-ups."""

LOG_SCALE = 0.15

_SPEC: tuple[tuple[str, float, float, float, float], ...] = (  # name, value, spread of its logarithm, bounds
    ("time_ratio", 1.0, 0.1, 1e-9, 1e3),
    ("time_ratio.vllm", 1.0, 0.1, 1e-9, 1e3),
    ("time_ratio.sglang", 1.0, 0.1, 1e-9, 1e3),
    ("time_ratio.tensorrt-llm", 1.0, 0.1, 1e-9, 1e3),
    ("time_ratio.llama.cpp", 1.0, 0.1, 1e-9, 1e3),
    ("time_ratio.transformers-neuronx", 1.0, 0.5, 1e-9, 1e3),  # the vendor's ratio is that of vLLM on its devices
    ("vendor_time_ratio", 1.0, 1e-3, 1e-9, 1e3),  # the vendor that most is measured on
    ("vendor_time_ratio.amd", 1.3, 0.3, 1e-9, 1e3),
    ("vendor_time_ratio.apple", 1.1, 0.3, 1e-9, 1e3),
    ("vendor_time_ratio.google", 1.3, 0.3, 1e-9, 1e3),
    ("vendor_time_ratio.aws", 1.5, 0.5, 1e-9, 1e3),
    ("vendor_time_ratio.intel", 1.3, 0.3, 1e-9, 1e3),
    ("step_overhead_s", 1e-3, 0.7, 1e-9, 1e3),
    ("step_overhead_s.llama.cpp", 0.5, 0.7, 1e-9, 1e3),
    ("step_overhead_s.vllm-v0", 3.0, 0.7, 1e-9, 1e3),
    ("sequence_overhead_s", 1e-5, 0.7, 1e-9, 1e3),
    ("sequence_overhead_s.vllm", 1.0, 0.5, 1e-9, 1e3),
    ("sequence_overhead_s.sglang", 1.0, 0.5, 1e-9, 1e3),
    ("sequence_overhead_s.tensorrt-llm", 1.0, 0.5, 1e-9, 1e3),
    ("stream_token_s", 4e-5, 0.5, 1e-9, 1e3),
    ("prompt_overhead_s", 2e-3, 0.7, 1e-9, 1e3),
    ("host_layer_s", 3.2e-4, 0.5, 1e-9, 1e3),  # as of a layer's forward pass in training
    ("host_expert_s", 5e-4, 0.7, 1e-9, 1e3),
    ("host_expert_s.sglang", 1.0, 0.7, 1e-9, 1e3),
    ("host_expert_s.tensorrt-llm", 1.0, 0.7, 1e-9, 1e3),
    ("request_overhead_s", 0.015, 0.7, 1e-9, 1e3),
    ("request_overhead_s.vllm", 1.0, 0.7, 1e-9, 1e3),
    ("request_overhead_s.sglang", 1.0, 0.7, 1e-9, 1e3),
    ("request_overhead_s.tensorrt-llm", 1.0, 0.7, 1e-9, 1e3),
    ("request_overhead_s.llama.cpp", 0.3, 0.7, 1e-9, 1e3),
    ("request_token_s", 2e-6, 0.7, 1e-9, 1e3),  # tokenisers pass about a million tokens a second
    ("admission_steps", 0.7, 0.7, 0.5, 1e3),
    ("admission_steps.vllm", 1.0, 1.2, 0.3, 1e3),
    ("admission_steps.sglang", 1.0, 1.2, 0.3, 1e3),
    ("admission_steps.tensorrt-llm", 1.0, 1.2, 0.3, 1e3),
    ("expert_skew_ratio", 0.5, 0.7, 1e-9, 1e3),
    ("grouped_matmul_ratio", 0.8, 0.4, 1e-9, 1.3),
    ("grouped_memory_ratio", 0.9, 0.3, 1e-9, 1.15),
    ("dispatch_memory_ratio", 0.6, 0.3, 1e-9, 1.2),  # layers of experts timed alone
    ("expanded_ratio", 0.8, 0.3, 1e-9, 1.2),
    ("expand_flop_count", 10.0, 1.0, 1e-9, 1e3),
    ("kernel_launch_s", 4.5e-6, 0.4, 1e-9, 1e3),
    ("kernel_launch_s.amd", 1.0, 0.5, 1e-9, 1e3),
    ("kernel_launch_s.apple", 1.0, 0.5, 1e-9, 1e3),
    ("kernel_launch_s.aws", 1.0, 1.0, 1e-9, 1e3),
    ("kernel_launch_s.google", 1.0, 1.0, 1e-9, 1e3),
    ("dispatch_kernels_count", 4.0, 0.4, 1.0, 1e3),
    ("pcie_link_ratio", 0.6, 0.5, 1e-9, 1.0),
    ("fused_latency_s", 6e-6, 0.3, 1e-9, 1e3),
    ("cache_memory_ratio", 0.726, 0.15, 1e-9, 0.95),
    ("active_power_ratio", 0.6, 0.2, 1e-9, 1e3),
    ("compute_power_ratio", 0.9, 0.4, 1e-9, 1e3),
)
PARAMETERS = tuple(
    Parameter(name=name, value=value, log_sd_ratio=spread, low=low, high=high)
    for name, value, spread, low, high in _SPEC
)
"""What the fit may change, around what is known before: kernels timed alone, and how engines are built."""
