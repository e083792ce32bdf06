"""Loads of a replica, and the steps that have to be timed for them.

Every load is put together from the same four steps (`queries`), so that many deployments under many loads are timed in
one call. Requests are all of one length; axis R is one entry for each load.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Vector = npt.NDArray[np.float64]

KINDS = ("closed loop", "saturated", "all at once", "fixed batch", "open loop")
"""Users who send again when answered; the same seen in its full middle; a queue sent at once; a batch that starts and
ends together; a stream at a rate."""

NUM_STEPS = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """How replicas are loaded [R]."""

    kind: npt.NDArray[np.str_]
    users: Vector  # requests in the system: concurrency, batch, or requests sent together
    request_rate_per_s: Vector  # of an open loop, else 0
    requests: Vector  # sent in all
    isl_tokens: Vector  # to prefill: those served from a prefix cache are not among them
    cached_tokens: Vector  # of the prompt, served from a prefix cache
    osl_tokens: Vector
    limit: Vector  # sequences that the replica can place at once
    chunk_tokens: Vector  # of one step, on one rank
    ranks: Vector  # dp ranks of attention
    stages: Vector  # pipeline stages
    prompts_first: Vector  # 1 where decoding stops while prompts wait
    length_spread_ratio: Vector  # of lengths around their mean; 0 where all requests are alike
    tokens_per_step: Vector  # of one sequence: above 1 with accepted speculative tokens
    receive_steps: Vector  # decoding steps between two looks for new requests, where the engine looks less than always
    hold_steps: Vector  # decoding steps that a prompt is held back for others to join it

    @property
    def between_s(self) -> Vector:
        """Seconds from one request of a stream to the next; 0 where all come at once [R]."""
        return np.where(self.request_rate_per_s > 0, 1.0 / np.maximum(self.request_rate_per_s, 1e-12), 0.0)

    @property
    def alike(self) -> npt.NDArray[np.bool_]:
        """Whether requests are all of one length in a closed loop, where those of one step come back together [R]."""
        alike: npt.NDArray[np.bool_] = (self.kind == "closed loop") & (self.length_spread_ratio == 0)
        return alike

    @property
    def steps(self) -> Vector:
        """Decoding steps of an answer, at least one [R]."""
        return np.maximum(self.osl_tokens / self.tokens_per_step, 1.0)

    @property
    def places(self) -> Vector:
        """Sequences that decode at once where more want to [R].

        Where prompts share steps with decoding, a batch of B ends B / steps answers a step, whose places as many new
        prompts must fill within the same budget of tokens:  B + B / steps * ISL = budget. Others wait for their prompt.
        """
        fed = self.chunk_tokens * self.ranks * self.stages * self.steps / (self.steps + self.isl_tokens)
        mixes = (self.kind != "fixed batch") & (self.prompts_first == 0)
        return np.where(mixes, np.minimum(self.limit, np.maximum(fed, 1.0)), self.limit)


@dataclass(frozen=True, slots=True, kw_only=True)
class Queries:
    """The steps to be timed [4, R]: decoding; decoding and prompts; decoding at another batch; one prompt alone."""

    decode_sequences: Vector
    context_tokens: Vector
    prefill_tokens: Vector
    prompt_tokens: Vector
    prompt_context_tokens: Vector
    prompt_ranks: Vector
    together: Vector  # [R] prompts that share a step
    most: Vector  # [R] prompts that a step has room for
    pieces: Vector  # [R] steps that one prompt takes


def queries(load: Load) -> Queries:
    """Return the steps that loads need."""
    static, stream = load.kind == "fixed batch", load.kind == "open loop"
    batch = np.where(stream, load.places, np.minimum(load.users, load.places))
    engines = load.ranks * load.stages
    budget = np.maximum(load.chunk_tokens - batch / engines, load.chunk_tokens / 4)
    chunk = np.minimum(load.isl_tokens, budget)
    pieces = load.isl_tokens / chunk
    most = np.maximum(budget * engines / chunk, 1.0)
    arriving = np.where(static, batch, batch / load.steps * pieces)
    # Alike requests whose prompts ran together leave together and come back together: all of them where prompts go
    # first; half of those of a full step where prompts share steps with decoding, which pulls groups apart.
    bunch = np.where(load.prompts_first > 0, batch, np.minimum(batch, np.maximum(most / 2.0, 2.0)))
    together = np.clip(np.where(load.alike, np.maximum(arriving, bunch), arriving), 1.0, most)
    rest = np.mod(load.users, np.maximum(load.places, 1.0))  # the last sequences of a queue, or a smaller batch
    other = np.where(load.users > load.places, np.maximum(rest, 1.0), np.maximum(batch / 2.0, 1.0))
    other = np.where(stream, 1.0, other)
    zero = np.zeros_like(batch)
    context = load.cached_tokens + load.isl_tokens + load.osl_tokens / 2.0
    before = load.cached_tokens + (load.isl_tokens - chunk) / 2.0
    alone = np.minimum(batch, np.maximum(batch - 1.0, 0.0))
    return Queries(
        decode_sequences=np.stack([batch, np.where(static, 0.0, batch), other, np.where(static, 0.0, alone)]),
        context_tokens=np.stack([context] * NUM_STEPS),
        prefill_tokens=np.stack([zero, together * chunk, zero, chunk]),
        prompt_tokens=np.stack([chunk] * NUM_STEPS),
        prompt_context_tokens=np.stack([zero, before, zero, before]),
        prompt_ranks=np.stack([together, together, together, np.ones_like(batch)]),
        together=together,
        most=most,
        pieces=pieces,
    )
