"""Kubernetes objects for the replicas of a plan: a Deployment, its Service, and a budget for disruptions."""

from __future__ import annotations

from typing import Any

from steelyard.errors import InputError
from steelyard.report.emit.comments import comment, yaml_text
from steelyard.report.emit.compose import command
from steelyard.report.emit.replicas import PORT, Replicas

NOTES = {
    "replicas": "as many as the planned peak needs",
    "startupProbe": "loading the weights takes minutes, the first time with their download",
    "sizeLimit": "the processes of a replica exchange tensors through shared memory",
}
SECRET = "hugging-face"  # noqa: S105 - the name of one


def written(replicas: Replicas) -> str:
    """Return the objects, one document each.

    Raises:
        InputError: A replica spans several nodes, or the weights are a folder of this machine.
        UnknownError: No image is known for the device.
    """
    if replicas.num_devices > replicas.devices_per_node:
        raise InputError(
            f"a replica of {replicas.num_devices} devices spans nodes of {replicas.devices_per_node}; "
            "a Deployment's pod is on one: take --emit ray-serve, or plan with fewer --devices"
        )
    if replicas.weights.startswith("/"):
        raise InputError(
            f"{replicas.weights} is a folder of this machine, which a pod does not see: plan a model that has a "
            "Hugging Face repository, or take --emit compose"
        )
    heading = replicas.heading(
        f"kubectl create secret generic {SECRET} --from-literal=token=$HF_TOKEN",
        "kubectl apply -f THIS-FILE",
        f"kubectl port-forward service/{replicas.name} {PORT}",
    )
    objects = [_deployment(replicas), _service(replicas), _budget(replicas)]
    return comment(heading) + "---\n".join(yaml_text(found, NOTES) for found in objects)


def _labels(replicas: Replicas) -> dict[str, str]:
    return {"app.kubernetes.io/name": "vllm", "app.kubernetes.io/instance": replicas.name}


def _meta(replicas: Replicas) -> dict[str, Any]:
    return {"name": replicas.name, "labels": _labels(replicas)}


def _deployment(replicas: Replicas) -> dict[str, Any]:
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": _meta(replicas),
        "spec": {
            "replicas": replicas.num_replicas,
            "selector": {"matchLabels": _labels(replicas)},
            # a new replica needs devices that may not be there while the old ones hold theirs
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 0, "maxUnavailable": 1}},
            "template": {"metadata": {"labels": _labels(replicas)}, "spec": _pod(replicas)},
        },
    }


def _pod(replicas: Replicas) -> dict[str, Any]:
    image = replicas.image()
    return {
        "terminationGracePeriodSeconds": 120,
        "containers": [
            {
                "name": "vllm",
                "image": image["image"],
                "args": command(replicas),
                "env": [
                    {
                        "name": "HF_TOKEN",
                        "valueFrom": {"secretKeyRef": {"name": SECRET, "key": "token", "optional": True}},
                    }
                ],
                "ports": [{"name": "http", "containerPort": PORT}],
                "resources": {"limits": {image["resource"]: replicas.num_devices}},
                "startupProbe": _probe(10, 360),
                "readinessProbe": _probe(5, 2),
                "livenessProbe": _probe(15, 4),
                "volumeMounts": [
                    {"name": "shared-memory", "mountPath": "/dev/shm"},  # noqa: S108 - a mount point in the pod
                    {"name": "weights", "mountPath": "/root/.cache/huggingface"},
                ],
            }
        ],
        "volumes": [
            {"name": "shared-memory", "emptyDir": {"medium": "Memory", "sizeLimit": "16Gi"}},
            {"name": "weights", "emptyDir": {}},
        ],
    }


def _probe(period_s: int, failures: int) -> dict[str, Any]:
    return {
        "httpGet": {"path": "/health", "port": "http"},
        "periodSeconds": period_s,
        "timeoutSeconds": 5,
        "failureThreshold": failures,
    }


def _service(replicas: Replicas) -> dict[str, Any]:
    ports = [{"name": "http", "port": PORT, "targetPort": "http"}]
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": _meta(replicas),
        "spec": {"selector": _labels(replicas), "ports": ports},
    }


def _budget(replicas: Replicas) -> dict[str, Any]:
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": _meta(replicas),
        "spec": {"maxUnavailable": 1, "selector": {"matchLabels": _labels(replicas)}},
    }
