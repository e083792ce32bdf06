"""The time of a forward and a backward pass, from the operators of the model."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from steelyard import arch
from steelyard.arch import Model
from steelyard.device import Device, pass_time
from steelyard.records.operator import Operator
from steelyard.training.calibration import parameter
from steelyard.training.layout import Layout
from steelyard.training.sharding import Method
from steelyard.units import Array


@dataclass(frozen=True, slots=True, kw_only=True)
class Pass:
    """One pass over the whole model for one micro-batch, on one tensor-parallel rank."""

    layers_s: Array
    attention_s: Array  # of the layers
    elementwise_s: Array  # of the layers
    ends_s: Array  # embedding and head
    work_flop: Array


def forward_backward(
    model: Model, device: Device, layout: Layout, *, seq_tokens: float, compute_dtype: str, method: Method
) -> tuple[Pass, Pass]:
    """Time the forward and the backward pass of one micro-batch."""
    forward = arch.forward_operators(
        model,
        batch=layout.micro_batch,
        new_tokens=seq_tokens,
        tp=layout.tp,
        cp=layout.cp,
        ep=layout.ep,
        compute_dtype=compute_dtype,
        sequence_parallel=True,
    )
    backward = arch.backward_operators(
        model,
        batch=layout.micro_batch,
        seq_tokens=seq_tokens,
        tp=layout.tp,
        cp=layout.cp,
        ep=layout.ep,
        compute_dtype=compute_dtype,
        trainable="all" if method == "full" else "lora",
    )
    return _time(forward, device), _time(backward, device)


def _time(ops: Iterable[Operator], device: Device) -> Pass:
    """Time a pass: kernels of a long step run slower than the isolated ones that `device` is calibrated on."""
    ops = tuple(ops)
    gemm, other = parameter("gemm_time_ratio"), parameter("elementwise_time_ratio")
    layers = pass_time([op for op in ops if op.place == "layer"], device)
    ends = pass_time([op for op in ops if op.place != "layer"], device)
    attention_s = layers.attention_s * parameter("attention_time_ratio")
    elementwise_s = layers.other_s * other
    return Pass(
        layers_s=layers.gemm_s * gemm + attention_s + elementwise_s + layers.launch_s,
        attention_s=attention_s,
        elementwise_s=elementwise_s,
        ends_s=ends.gemm_s * gemm + ends.other_s * other + ends.launch_s,
        work_flop=sum(op.count * op.flop for op in ops),
    )
