"""`steelyard serve`: a model behind an OpenAI-compatible address, for real."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import click

from steelyard.cli.output import complain
from steelyard.cli.quantities import DURATION, REPLICA_RANGE, SIZE
from steelyard.errors import InputError, OutsideProgramError
from steelyard.records.serving import ROUTINGS, Autoscaling

KEY_VARIABLE = "STEELYARD_API_KEY"


@click.command("serve")
@click.argument("model", required=False, default="")
@click.option("--engine", metavar="NAME", help="vllm, llamacpp, transformers or sleep; else the first that can.")
@click.option("--name", metavar="NAME", help="How clients ask for it; else the name of the file or folder.")
@click.option("--replicas", type=int, default=1, show_default=True, help="Behind the address.")
@click.option("--autoscale", type=REPLICA_RANGE, help="Replicas follow the load between these numbers.")
@click.option("--target-requests", type=float, help="Autoscaling: requests in the system per replica; else --slots.")
@click.option("--scale-every", type=DURATION, default="15s", show_default=True, help="Autoscaling: between two looks.")
@click.option(
    "--scale-down-after", type=DURATION, default="5min", show_default=True, help="Autoscaling: of a lower need."
)
@click.option("--ray", default="", metavar="ADDRESS", help="Run the replicas on this Ray cluster: HOST:PORT, or auto.")
@click.option("--gpus", type=click.IntRange(0, 64), default=0, help="Of one replica on a Ray cluster.")
@click.option("--routing", type=click.Choice(ROUTINGS), default="least-requests", show_default=True)
@click.option("--host", default="127.0.0.1", show_default=True, help="Any other needs an API key.")
@click.option("--port", type=click.IntRange(1, 65535), default=8000, show_default=True)
@click.option("--slots", type=click.IntRange(1, 4096), default=8, show_default=True, help="Requests at once a replica.")
@click.option(
    "--context",
    type=click.IntRange(0),
    default=0,
    help="Tokens of one request, set aside for each slot; else the model's.",
)
@click.option("--threads", type=click.IntRange(0), default=0, help="Of one replica on a CPU; else its share of cores.")
@click.option("--option", "options", multiple=True, metavar="NAME=VALUE", help="Of the engine; may be repeated.")
@click.option("--queue", type=click.IntRange(0), default=256, show_default=True, help="Waiting requests; then 429.")
@click.option("--deadline", type=DURATION, default="10min", show_default=True, help="Of a request; then 504.")
@click.option("--max-body", type=SIZE, default="8MB", show_default=True, help="Of a request; then 413.")
@click.option("--max-tokens", type=click.IntRange(0), default=0, help="Of an answer, at most; else as engines do.")
@click.option("--start-timeout", type=DURATION, default="5min", show_default=True, help="For a replica to answer.")
@click.option("--drain", type=DURATION, default="30s", show_default=True, help="For answers begun, when stopped.")
def command(model: str, **asked: Any) -> None:
    """How is a model served for real, with one or more replicas behind one OpenAI-compatible address?

    MODEL is a GGUF file or a folder in Hugging Face's layout. /v1/models, /v1/completions and /v1/chat/completions
    answer with streaming and usage; /health and /metrics (Prometheus) tell how it is. An API key is taken from
    STEELYARD_API_KEY; without one only 127.0.0.1 is served.

    \b
    Example:
      steelyard serve model.gguf
      steelyard serve runs/mine/model --replicas 2 --routing prefix-affinity
      steelyard serve runs/mine/model --autoscale 1:4 --ray 10.0.0.1:6379
      steelyard serve --engine sleep --option ttft=50ms --option tpot=10ms    no model: to try clients and limits
    """
    try:
        from steelyard.runtime.serve.run import serve
    except ImportError as error:
        raise OutsideProgramError(f"{error.name} is not installed; pip install 'steelyard[run]'") from None
    serve(_service(model, asked), lambda line: complain("serve", line))


def _service(model: str, asked: dict[str, Any]) -> Any:
    from steelyard.runtime.serve.engines import engine, engine_for
    from steelyard.runtime.serve.limits import Limits
    from steelyard.runtime.serve.run import Service
    from steelyard.runtime.serve.spec import ReplicaSpec

    if asked["engine"]:
        engine(asked["engine"])  # an unknown one is the first thing to say
    if not model and asked["engine"] != "sleep":
        raise click.UsageError("give a MODEL: a GGUF file, or a folder with config.json")
    if model and not Path(model).exists():
        raise InputError(f"{model}: no such file or folder; give a GGUF file, or a folder with config.json")
    where = str(Path(model).resolve()) if model else ""
    spec = ReplicaSpec(
        engine=engine_for(where, asked["engine"]),
        model=where,
        name=asked["name"] or (Path(where).name.removesuffix(".gguf") if where else "sleep"),
        slots=asked["slots"],
        context_tokens=asked["context"],
        threads=asked["threads"],
        gpus=asked["gpus"],
        options=dict(_option(text) for text in asked["options"]),
    )
    limits = Limits(
        max_queue_requests=asked["queue"],
        deadline_s=asked["deadline"],
        max_body_bytes=round(asked["max_body"]),
        max_output_tokens=asked["max_tokens"],
    )
    return Service(
        spec=spec,
        replicas=asked["autoscale"][0] if asked["autoscale"] else asked["replicas"],
        scaling=_scaling(asked),
        ray=asked["ray"],
        host=asked["host"],
        port=asked["port"],
        routing=asked["routing"],
        limits=limits,
        api_key=os.environ.get(KEY_VARIABLE, ""),
        start_s=asked["start_timeout"],
        drain_s=asked["drain"],
    )


def _scaling(asked: dict[str, Any]) -> Autoscaling | None:
    if asked["autoscale"] is None:
        return None
    least, most = asked["autoscale"]
    return Autoscaling(
        min_replicas=least,
        max_replicas=most,
        target_requests=asked["slots"] if asked["target_requests"] is None else asked["target_requests"],
        interval_s=asked["scale_every"],
        downscale_delay_s=asked["scale_down_after"],
    )


def _option(text: str) -> tuple[str, str]:
    name, _, value = text.partition("=")
    if not name:
        raise InputError(f"--option {text!r}: write NAME=VALUE")
    return name, value
