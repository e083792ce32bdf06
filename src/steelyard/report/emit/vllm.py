"""A configuration file of `vllm serve` for one replica of a plan."""

from __future__ import annotations

from steelyard.report.emit.comments import comment, yaml_text
from steelyard.report.emit.replicas import PORT, Replicas

NOTES = {
    "tensor-parallel-size": "the layout that the plan found",
    "quantization": "weights are brought into this format as they are loaded",
    "max-model-len": "the longest request of the planned load, rounded up; raise it for longer ones",
    "max-num-seqs": "limits of a step, as planned with: sequences, tokens, share of the memory",
}


def written(replicas: Replicas) -> str:
    """Return the file; a replica over several nodes starts its workers through Ray."""
    content = {"model": replicas.weights, "host": "127.0.0.1", "port": PORT} | replicas.arguments
    if replicas.num_devices > replicas.devices_per_node:
        content["distributed-executor-backend"] = "ray"
    return comment(_heading(replicas)) + yaml_text(content, NOTES)


def _heading(replicas: Replicas) -> list[str]:
    lines = list(replicas.heading("vllm serve --config THIS-FILE"))
    if replicas.num_replicas > 1:
        lines += [
            f"This file starts one of {replicas.num_replicas} replicas; give each devices of its own "
            "(CUDA_VISIBLE_DEVICES) and a port, with one address before them. --emit compose, kubernetes and ray-serve "
            "write all of it."
        ]
    return lines
