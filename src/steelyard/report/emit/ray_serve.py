"""A configuration of Ray Serve for the replicas of a plan, on one node or many."""

from __future__ import annotations

from typing import Any

from steelyard.errors import InputError
from steelyard.report.emit.comments import comment, yaml_text
from steelyard.report.emit.replicas import PORT, Replicas

NOTES = {
    "num_replicas": "as many as the planned peak needs",
    "engine_kwargs": "arguments of vLLM; the layout is the one that the plan found",
    "max_ongoing_requests": "requests that a replica takes at once, waiting ones included",
}
_WAITING = 2  # requests of a replica, waiting included, over those that run


def written(replicas: Replicas) -> str:
    """Return the file.

    Raises:
        InputError: Ranks of attention of their own, which Ray Serve starts in another way.
    """
    if "data-parallel-size" in replicas.arguments:
        raise InputError(
            "Ray Serve starts data-parallel attention with a deployment of its own, which --emit does not write: "
            "take --emit kubernetes, or compose"
        )
    content = {
        "http_options": {"host": "127.0.0.1", "port": PORT},
        "applications": [
            {
                "name": replicas.name,
                "route_prefix": "/",
                "import_path": "ray.serve.llm:build_openai_app",
                "args": {"llm_configs": [_model(replicas)]},
            }
        ],
    }
    heading = replicas.heading(
        "pip install 'ray[serve,llm]'", "ray start --head   # and on further nodes: ray start --address HEAD:6379",
        "serve deploy THIS-FILE",
    )  # fmt: skip
    return comment(heading) + yaml_text(content, NOTES)


def _model(replicas: Replicas) -> dict[str, Any]:
    arguments = {name.replace("-", "_"): value for name, value in replicas.arguments.items()}
    return {
        "model_loading_config": {"model_id": replicas.name, "model_source": replicas.weights},
        "engine_kwargs": arguments,
        "deployment_config": {
            "num_replicas": replicas.num_replicas,
            "max_ongoing_requests": int(arguments["max_num_seqs"]) * _WAITING,
        },
        "runtime_env": {"env_vars": {"HF_TOKEN": "${HF_TOKEN}"}},
    }
