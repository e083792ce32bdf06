"""A Compose file for all replicas of a plan on one node, behind one address that balances them."""

from __future__ import annotations

from typing import Any

from steelyard.errors import InputError
from steelyard.report.emit.comments import comment, yaml_text
from steelyard.report.emit.replicas import PORT, Replicas

BALANCER_IMAGE = "nginx:stable-alpine"
NOTES = {
    "balancer": "one address for all replicas: each request goes to the one with the fewest open",
    "ipc": "the processes of a replica exchange tensors through shared memory",
    "start_period": "loading the weights takes minutes, the first time with their download",
}
_GROUPS = {"AMD": {"devices": ["/dev/kfd", "/dev/dri"], "group_add": ["video"]}}  # how ROCm reaches its devices
_VISIBLE = {"AMD": "HIP_VISIBLE_DEVICES"}


def written(replicas: Replicas) -> str:
    """Return the file.

    Raises:
        InputError: The plan needs more devices than a node has.
        UnknownError: No image is known for the device.
    """
    wanted, node = replicas.num_devices * replicas.num_replicas, replicas.devices_per_node
    if wanted > node:
        raise InputError(
            f"Compose starts one node of {node} devices; the plan needs {wanted}: "
            "take --emit kubernetes or ray-serve, or plan with fewer --devices"
        )
    names = [f"vllm-{place}" for place in range(replicas.num_replicas)]
    content = {
        "name": replicas.name,
        "services": {"balancer": _balancer(names)}
        | {name: _replica(replicas, place) for place, name in enumerate(names)},
        "configs": {"balancer": {"content": _balancing(names)}},
        "volumes": {"weights": {}},
    }
    return comment(replicas.heading("docker compose -f THIS-FILE up --detach --wait")) + yaml_text(content, NOTES)


def _balancer(names: list[str]) -> dict[str, Any]:
    return {
        "image": BALANCER_IMAGE,
        "ports": [f"127.0.0.1:{PORT}:{PORT}"],
        "configs": [{"source": "balancer", "target": "/etc/nginx/conf.d/default.conf"}],
        "depends_on": {name: {"condition": "service_healthy"} for name in names},
        "restart": "unless-stopped",
    }


def _balancing(names: list[str]) -> str:
    """Return the configuration of the balancer: answers stream, and may take an hour."""
    servers = "".join(f"  server {name}:{PORT};\n" for name in names)
    return (
        f"upstream replicas {{\n  least_conn;\n{servers}}}\n"
        f"server {{\n  listen {PORT};\n  client_max_body_size 64m;\n"
        "  location / {\n    proxy_pass http://replicas;\n    proxy_http_version 1.1;\n    proxy_buffering off;\n"
        "    proxy_read_timeout 3600s;\n  }\n}\n"
    )


def _replica(replicas: Replicas, place: int) -> dict[str, Any]:
    vendor = replicas.accelerator.vendor
    ids = [str(place * replicas.num_devices + at) for at in range(replicas.num_devices)]
    environment = {"HF_TOKEN": "${HF_TOKEN:-}"}
    if vendor in _VISIBLE:
        environment[_VISIBLE[vendor]] = ",".join(ids)
    return {
        "image": replicas.image()["image"],
        "command": command(replicas),
        "environment": environment,
        "volumes": ["weights:/root/.cache/huggingface", *_own_weights(replicas)],
        "ipc": "host",
        "healthcheck": {
            "test": ["CMD", "curl", "--fail", "--silent", f"http://127.0.0.1:{PORT}/health"],
            "interval": "10s",
            "timeout": "5s",
            "retries": 3,
            "start_period": "30m",
        },
        "restart": "unless-stopped",
        **(_GROUPS.get(vendor) or _reserved(ids)),
    }


def _reserved(ids: list[str]) -> dict[str, Any]:
    devices = [{"driver": "nvidia", "device_ids": ids, "capabilities": ["gpu"]}]
    return {"deploy": {"resources": {"reservations": {"devices": devices}}}}


def _own_weights(replicas: Replicas) -> list[str]:
    """Return the mount of a folder of the user's, if the weights are one."""
    return [f"{replicas.weights}:{replicas.weights}:ro"] if replicas.weights.startswith("/") else []


def command(replicas: Replicas) -> list[str]:
    """Return the arguments of the image: the model first, then options.

    The image's entry point is `vllm serve`.
    """
    words = [replicas.weights, "--host", "0.0.0.0", "--port", str(PORT)]  # noqa: S104 - inside the container
    for name, value in replicas.arguments.items():
        words += [f"--{name}"] if value is True else [f"--{name}", str(value)]
    return words
