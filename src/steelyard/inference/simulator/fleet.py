"""What is simulated: a replica as its engine runs it, and a fleet of them behind a router."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from steelyard import arch
from steelyard.device import Device
from steelyard.errors import DoesNotFitError, InputError, UnknownError, unknown
from steelyard.inference.deployment import Deployment
from steelyard.inference.engine import Engine, engine_for, outside_s
from steelyard.inference.memory import memory, require_fit
from steelyard.inference.simulator.table import StepTable, step_table
from steelyard.inference.speculation import Speculation
from steelyard.records.serving import (
    PREFIX_BALANCE_RATIO,
    ROUTINGS,
    Autoscaling,
    Batching,
    ReplicaFailures,
    Routing,
)
from steelyard.records.workload import Lengths
from steelyard.units import format_quantity

MAX_PLACES = 1 << 30  # of sequences in all replicas: the event loop sets 16 bytes aside for each
_UNLIMITED = 1 << 40
_STATIC_PROMPTS_TOKENS = 1 << 20  # how far the table of a static batch reaches


@dataclass(frozen=True, slots=True, kw_only=True)
class Replica:
    """One replica: how it batches, how long its steps take, how much KV cache it holds."""

    table: StepTable
    batching: Batching
    kv_blocks: int
    max_context_tokens: int
    request_overhead_s: float = 0.0  # of a request before the scheduler sees it
    name: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fleet:
    """Replicas behind a router. With `decode`, the first ones only prefill and hand their KV cache on."""

    replica: Replica
    num_replicas: int = 1
    routing: Routing = "least-requests"
    balance_ratio: float = PREFIX_BALANCE_RATIO
    decode: Replica | None = None
    num_decode_replicas: int = 0
    transfer_s: float = 0.0  # of a KV cache to a decoding replica: latency
    transfer_s_per_token: float = 0.0
    autoscaling: Autoscaling | None = None
    failures: ReplicaFailures | None = None

    def __post_init__(self) -> None:
        if self.num_replicas < 1 or (self.decode is not None and self.num_decode_replicas < 1):
            raise InputError("fleet: replicas are counted from 1 on")
        if self.routing not in ROUTINGS:
            raise UnknownError(unknown("routing", self.routing, ROUTINGS))
        if self.autoscaling is not None and self.decode is not None:
            raise InputError("fleet: autoscaling and separate decode replicas are not simulated together; give one")
        most = self.num_replicas if self.autoscaling is None else self.autoscaling.max_replicas
        count = most + self.num_decode_replicas
        widest = max(one.batching.max_sequences for one in (self.replica, self.decode) if one is not None)
        if count * widest > MAX_PLACES:
            raise InputError(
                f"fleet: up to {count * widest:,} sequences at once in all replicas, at most {MAX_PLACES:,} are "
                "simulated; give fewer replicas, or a smaller largest batch"
            )


def replica_for(
    model: arch.Model,
    device: Device,
    deployment: Deployment,
    lengths: Lengths,
    *,
    engine: Engine | None = None,
    static: bool = False,
    speculation: Speculation | None = None,
    max_sequences: int | None = None,
    token_budget: int | None = None,
    kv_blocks: int | None = None,
) -> Replica:
    """Return a replica of a model for the simulator.

    Args:
        model, device, deployment: One replica.
        lengths: Requests; how much KV cache a token takes is that of their mean context, and none may be longer than
            the model's context.
        engine: Its way of batching, overheads and limits; the defaults for the device when None.
        static: Static batching, also where the engine's is not.
        speculation: A draft, if there is one; its steps yield their mean number of tokens.
        max_sequences, token_budget, kv_blocks: In place of the engine's.

    Raises:
        DoesNotFitError: The weights and one sequence do not fit.
        InputError: A request is longer than the model's context.

    Example:
        >>> from steelyard import arch, device
        >>> asked = Lengths(isl_tokens=np.array([1000.0]), osl_tokens=np.array([200.0]))
        >>> one = replica_for(arch.load("llama-3.1-8b"), device.load("h100"), Deployment(), asked)
        >>> one.kv_blocks > 10_000
        True
    """
    engine = engine or engine_for(device)
    static = static or engine.is_static
    if static and token_budget is not None:
        raise InputError("token budget: a static batch takes the prompts of all its requests at once; leave it out")
    held = memory(model, device, deployment, lengths, engine=engine)
    require_fit(model, device, deployment, held)
    places = deployment.dp * deployment.pp  # ranks and stages with a micro-batch each
    most = max_sequences or int(np.max(engine.max_sequences)) * deployment.dp
    budget = token_budget or max(int(np.max(engine.chunk_tokens)) * places, most)
    batching = Batching(
        token_budget=_UNLIMITED if static else budget,
        max_sequences=most,
        chunked=bool(np.max(engine.splits_prompts)),
        mixed=not bool(np.max(engine.prompts_first)),
        static=static,
        admission=engine.admission,
    )
    context = ((lengths.isl_tokens + lengths.osl_tokens / 2) * lengths.osl_tokens).sum() / lengths.osl_tokens.sum()
    held_bytes = arch.cache_bytes(model, context, kv_dtype=deployment.kv_dtype, tp=deployment.tp)
    bytes_per_token = float(np.max(held_bytes)) / float(context) / places
    blocks = kv_blocks or int(float(np.max(held.kv_pool_bytes)) / bytes_per_token / batching.block_tokens)
    longest = float((lengths.isl_tokens + lengths.osl_tokens).max())
    return Replica(
        table=step_table(
            model,
            device,
            deployment,
            engine=engine,
            speculation=speculation,
            max_sequences=most,
            token_budget=_STATIC_PROMPTS_TOKENS if static else budget,
            max_context_tokens=max(longest, 1024.0),
        ),
        batching=batching,
        kv_blocks=blocks,
        max_context_tokens=_require_context(model, lengths, longest),
        request_overhead_s=float(np.max(outside_s(engine, lengths.isl_tokens.mean()))),
        name=f"{model.id} on {deployment.num_devices}x {device.id}",
    )


def _require_context(model: arch.Model, lengths: Lengths, longest: float) -> int:
    """Return the model's context; raise where a request is longer."""
    limit = model.max_context_tokens
    if longest > limit:
        count = int((lengths.isl_tokens + lengths.osl_tokens > limit).sum())
        raise InputError(
            f"lengths: {count:,} of {len(lengths.isl_tokens):,} requests are longer than the {limit:,} tokens of "
            f"context of {model.id}, the longest {longest:,.0f}; choose another model or shorter requests"
        )
    return limit


def require_pool(replica: Replica, lengths: Lengths) -> None:
    """Raise when the longest request does not fit into the empty KV pool.

    Raises:
        DoesNotFitError: It does not; the message says by how much.
    """
    held = replica.kv_blocks * replica.batching.block_tokens
    longest = float((lengths.isl_tokens + lengths.osl_tokens).max())
    if longest > held:
        raise DoesNotFitError(
            f"{replica.name}: the KV pool holds {held:,} tokens, the longest request needs {longest:,.0f}; "
            "try more devices, a narrower KV format or shorter requests"
        )


def require_uptime(fleet: Fleet, lengths: Lengths) -> None:
    """Raise where replicas fail so often that the longest answer would hardly ever end.

    Raises:
        InputError: The mean time between failures is below the least time of that answer.
    """
    if fleet.failures is None:
        return
    table = (fleet.decode or fleet.replica).table
    least_s = float(lengths.osl_tokens.max()) * float(table.step_s[min(1, len(table.sequences) - 1), 0, 0, 0])
    if fleet.failures.mtbf_s < least_s:
        raise InputError(
            f"failures: a replica fails every {format_quantity(fleet.failures.mtbf_s, 's')} and the longest answer "
            f"takes {format_quantity(least_s, 's')} even alone, so that it would hardly ever end; give a longer mean "
            "time between failures"
        )


def transfer_s_per_token(
    model: arch.Model,
    device: Device,
    deployment: Deployment,
    lengths: Lengths,
    *,
    to: Deployment | None = None,
    num_devices: int | None = None,
) -> float:
    """Return the time that the KV cache of a prompt token takes from one replica to another [s].

    t = larger of the two sides' cache bytes of a token on one device / bandwidth of one device

    The ranks send and receive side by side: the side with the fewest devices has the most to carry each.

    Args:
        model, device, deployment: What prefills.
        lengths: Requests.
        to: What decodes; laid out alike when None.
        num_devices: Of both together: within one scale-up domain the cache goes over its links; over the network of
            the device when None, or when they are more.

    Raises:
        UnknownError: The device has no network of its own.

    Example:
        >>> from steelyard import arch, device
        >>> asked = Lengths(isl_tokens=np.array([1000.0]), osl_tokens=np.array([200.0]))
        >>> llama, h100 = arch.load("llama-3.1-70b"), device.load("h100")
        >>> wide, narrow = Deployment(tp=8), Deployment(tp=2)
        >>> alike, mixed = (transfer_s_per_token(llama, h100, wide, asked, to=to) for to in (wide, narrow))
        >>> round(mixed / alike)  # two devices take in what eight send
        4
    """
    card = device.accelerator
    near = num_devices is not None and num_devices <= card.scale_up_devices and card.scale_up_bytes_per_s > 0
    rate = card.scale_up_bytes_per_s if near else card.scale_out_bytes_per_s
    if not rate > 0:
        raise UnknownError(f"{device.id}: no scale-out bandwidth is known, so the KV transfer has no time")
    tokens = lengths.mean_isl_tokens
    per_device = max(_cache_bytes(model, tokens, side) for side in (deployment, to or deployment))
    return per_device / tokens / rate


def _cache_bytes(model: arch.Model, tokens: float, side: Deployment) -> float:
    """Return the cache of a prompt on the device of a replica that holds most of it; pipeline stages share it."""
    held = arch.cache_bytes(model, tokens, kv_dtype=side.kv_dtype, tp=side.tp)
    return float(np.max(held)) / side.pp
