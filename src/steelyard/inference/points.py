"""Operating points of one replica: what happens at each mean batch, in closed form, for all batches at once.

Axes: B mean number of decoding sequences, P prompt lengths of the step table, S requests (length samples).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

from steelyard import arch
from steelyard.device import Device
from steelyard.inference.deployment import Deployment
from steelyard.inference.engine import Engine, outside_s
from steelyard.inference.lengths import normal_score
from steelyard.inference.speculation import Speculation
from steelyard.inference.step import step
from steelyard.records.workload import Lengths, Objective
from steelyard.units import Array

Curve = npt.NDArray[np.float64]

_BATCHES = 2.0 ** np.arange(-6, 13.01, 0.25)  # 1/64 (an idle replica) to 8192 sequences
_PROMPTS = 10  # prompt lengths of the step table
_SAMPLES = 256  # requests that percentiles are read off
_SPREAD = (0.7548776662466927, 0.5698402909980532)  # steps of an even two-dimensional sequence (Roberts 2018)


@dataclass(frozen=True, slots=True, kw_only=True)
class Points:
    """Curves over the mean batch [B], all at the predicted step time; times scale with it, rates inversely."""

    batch: Curve
    request_rate_per_s: Curve
    mean_tpot_s: Curve
    tpot_s: Curve  # at the objective's percentile
    mean_ttft_s: Curve
    ttft_s: Curve  # at the objective's percentile
    prefill_time_ratio: Curve  # share of the time in steps that carry prompt tokens, beyond what they take without
    mean_context_tokens: float
    mean_prefill_tokens: float  # prompt tokens of a request that are not served from the prefix cache

    def at(self, curve: Curve, batch: Array) -> Curve:
        """Return a curve at any batch, straight between its points."""
        return np.asarray(np.interp(batch, self.batch, curve))


def operating_points(
    model: arch.Model,
    device: Device,
    deployment: Deployment,
    lengths: Lengths,
    objective: Objective,
    engine: Engine,
    *,
    arrival_cv_ratio: float = 1.0,
    closed: bool = False,
    speculation: Speculation | None = None,
) -> Points:
    """Return the curves of one replica over its mean batch.

    In the time between two requests, 1/rate, the engine makes OSL/B steps. Those that carry a prompt take S(prompt),
    the others f(B):  1/rate = E[S] + (OSL/B - E[n]) f(B), with n steps per prompt. When prompts outnumber steps,
    every step carries its share of them:  1/rate = (OSL/B) f(B, B ISL/OSL).  By Little's law B = rate * OSL * TPOT.

    TPOT of a request is the mean of its steps: it varies with the prompts that fall into them (about Poisson) and with
    the batch. TTFT = overhead + rest of the running step + queue for prefill + own prefill. The queue is a single
    server of prompt tokens at the rate of a full chunk: mean wait by Allen-Cunneen, exponential above zero. With
    a draft, f(B) is the time of one token of each sequence, and prompts add to it what they add to a step.

    Source:
        Allen, "Probability, Statistics and Queueing Theory", 2nd ed., 1990 (G/G/1 approximation);
        Little, "A Proof for the Queuing Formula L = lambda W", Operations Research 9(3), 1961.
    """
    asked = _Asked.of(lengths)
    batch = _BATCHES[max(4.0, float(engine.max_sequences)) >= _BATCHES]
    table = _table(model, device, deployment, asked, batch, engine, speculation or Speculation())
    steps_per_request = asked.mean_osl_tokens / batch
    carrying = table.mean_steps  # steps of a request's own prompt
    pooled = steps_per_request < carrying  # more prompts than steps
    between = np.where(
        pooled, steps_per_request * table.mixed_s, table.mean_prompt_s + (steps_per_request - carrying) * table.decode_s
    )
    between = np.minimum.accumulate(between)  # a larger batch never serves fewer requests
    rate = 1.0 / between
    mean_tpot = between / steps_per_request
    tpot = _tpot_percentile(asked, table, batch, mean_tpot, pooled, objective.tpot_percentile)
    mean_ttft, ttft = (
        curve + outside_s(engine, lengths.isl_tokens.mean())
        for curve in _ttft(asked, table, batch, rate, mean_tpot, objective.ttft_percentile, arrival_cv_ratio, closed)
    )
    return Points(
        batch=batch,
        request_rate_per_s=rate,
        mean_tpot_s=mean_tpot,
        tpot_s=np.maximum.accumulate(tpot),
        mean_ttft_s=np.maximum.accumulate(mean_ttft),
        ttft_s=np.maximum.accumulate(ttft),
        prefill_time_ratio=np.clip(1.0 - steps_per_request * table.decode_s / between, 0.0, 1.0),
        mean_context_tokens=asked.mean_context_tokens,
        mean_prefill_tokens=asked.mean_prompt_tokens,
    )


@dataclass(frozen=True, slots=True)
class _Asked:
    """What the length samples say: means over all of them, and a thinner set for percentiles."""

    mean_prompt_tokens: float  # tokens to prefill
    mean_osl_tokens: float
    mean_context_tokens: float  # tokens cached per decoding sequence, over decode time
    typical_prompt_tokens: float  # length of the prompt that a prompt token belongs to
    cached_ratio: float  # context served from the prefix cache, per token to prefill
    longest_tokens: float
    prompt_cv_ratio: float
    prompt: Curve  # [S]
    osl: Curve  # [S]

    @staticmethod
    def of(lengths: Lengths) -> _Asked:
        missed = 1.0 - lengths.cached_input_ratio
        prompt = np.maximum(lengths.isl_tokens * missed, 1.0)
        osl = lengths.osl_tokens
        order = np.argsort(prompt, kind="stable")
        thin = order[np.round(np.linspace(0, len(order) - 1, min(_SAMPLES, len(order)))).astype(int)]
        return _Asked(
            mean_prompt_tokens=float(prompt.mean()),
            mean_osl_tokens=float(osl.mean()),
            mean_context_tokens=float(((lengths.isl_tokens + osl / 2) * osl).sum() / osl.sum()),
            typical_prompt_tokens=float((prompt**2).sum() / prompt.sum()),
            cached_ratio=lengths.cached_input_ratio * float(lengths.isl_tokens.mean() / prompt.mean()),
            longest_tokens=float(prompt.max()),
            prompt_cv_ratio=float(prompt.std() / prompt.mean()),
            prompt=prompt[thin],
            osl=osl[thin],
        )


@dataclass(frozen=True, slots=True)
class _Table:
    """Step times: what every later formula reads."""

    decode_s: Curve  # [B] a step without prompts
    mixed_s: Curve  # [B] a step with its share of all prompt tokens, B * ISL / OSL
    full_chunk_s_per_token: Curve  # [B] per prompt token when steps are filled up with prompts
    prompt_s: Curve  # [B, S] steps of one request's prompt
    prompt_steps: Curve  # [B, S]
    mean_prompt_s: Curve  # [B]
    mean_steps: Curve  # [B]
    verify_s: Curve  # [B] of a step, for the tokens of each sequence beyond one; 0 without a draft


def _table(
    model: arch.Model, device: Device, deployment: Deployment, asked: _Asked, batch: Curve, engine: Engine,
    draft: Speculation,
) -> _Table:  # fmt: skip
    decoding = np.maximum(batch, 1.0)[:, None]  # [B, 1]; a step is made for one sequence at least
    room = np.maximum(float(engine.chunk_tokens) - decoding, 1.0)
    nodes = np.geomspace(1.0, max(asked.longest_tokens, 2.0), _PROMPTS)[None, :]
    share = np.minimum(batch[:, None] * asked.mean_prompt_tokens / asked.mean_osl_tokens, room)

    # Columns [3 + P]: no prompt, the share of all prompts, as many as there is room for, one prompt of each length.
    prompt = np.hstack(
        [np.array([[0.0, asked.typical_prompt_tokens, asked.typical_prompt_tokens]]), nodes]
    )  # [1, 3 + P]
    prefilled = np.minimum(np.hstack([np.zeros_like(room), share, room, nodes + 0.0 * room]), room)
    chunk = np.minimum(prompt, prefilled)
    before = np.maximum(prompt - chunk, 0.0) / 2 + asked.cached_ratio * prompt  # on average over its chunks
    times_of = step(
        model,
        device,
        deployment,
        decode_sequences=decoding,
        context_tokens=asked.mean_context_tokens,
        prefill_tokens=prefilled,
        prompt_tokens=np.maximum(chunk, 1.0),
        prompt_context_tokens=before,
        decode_tokens=1.0 + draft.tokens,
        engine=engine,
    )
    whole_s = np.asarray(times_of.total_s)
    plain_s = whole_s[:, :1]
    times = draft.token_step_s(whole_s, plain_s)
    verify_s = (draft.step_s(plain_s, plain_s) - draft.token_s(plain_s))[:, 0]
    steps = np.maximum(nodes / room, 1.0)  # [B, P] of a whole prompt
    prompt_s = _along(asked.prompt, nodes[0], times[:, 3:] * steps)
    prompt_steps = np.maximum(asked.prompt[None, :] / room, 1.0)
    return _Table(
        decode_s=times[:, 0],
        mixed_s=times[:, 1],
        full_chunk_s_per_token=(times[:, 2] + verify_s) / room[:, 0],
        prompt_s=prompt_s,
        prompt_steps=prompt_steps,
        mean_prompt_s=prompt_s.mean(axis=1),
        mean_steps=prompt_steps.mean(axis=1),
        verify_s=verify_s,
    )


def _along(x: Curve, nodes: Curve, values: Curve) -> Curve:
    """Return values [B, S] at x [S], straight between nodes [P] of values [B, P]."""
    left = np.clip(np.searchsorted(nodes, x) - 1, 0, len(nodes) - 2)
    weight = (x - nodes[left]) / (nodes[left + 1] - nodes[left])
    return values[:, left] * (1 - weight) + values[:, left + 1] * weight


def _even_shares(count: int, dimension: int) -> Curve:
    return np.asarray((0.5 + _SPREAD[dimension] * np.arange(1, count + 1)) % 1.0)


def _tpot_percentile(
    asked: _Asked, table: _Table, batch: Curve, mean_tpot: Curve, pooled: npt.NDArray[np.bool_], percentile: float
) -> Curve:
    """Return TPOT at the percentile [B]: normal around the mean, with the variance of each request's own steps."""
    added = table.prompt_s / table.prompt_steps - table.decode_s[:, None]  # of a step that carries a prompt
    hit = np.minimum(table.mean_steps * batch / asked.mean_osl_tokens, 1.0)  # share of such steps
    hit = np.where(pooled, 0.0, hit)  # all steps are alike
    interference = (hit * (added**2).mean(axis=1))[:, None] / asked.osl[None, :]
    occupancy = (np.gradient(mean_tpot, batch) ** 2 * batch)[:, None]  # the batch varies as a Poisson number
    score = normal_score(_even_shares(len(asked.osl), 0))
    drawn = mean_tpot[:, None] + score * np.sqrt(interference + occupancy)
    return np.asarray(np.quantile(np.maximum(drawn, table.decode_s[:, None]), percentile / 100.0, axis=1))


def _ttft(
    asked: _Asked,
    table: _Table,
    batch: Curve,
    rate: Curve,
    mean_tpot: Curve,
    percentile: float,
    arrival_cv_ratio: float,
    closed: bool,
) -> tuple[Curve, Curve]:
    """Return mean TTFT and TTFT at the percentile [B]."""
    service = asked.mean_prompt_tokens * table.full_chunk_s_per_token
    load = np.minimum(rate * service, 1.0 - 1e-9)
    variability = (arrival_cv_ratio**2 + asked.prompt_cv_ratio**2) / 2.0
    wait = load / (1.0 - load) * variability * service
    if closed:  # B users who wait for their answers cannot queue more than B prompts
        wait = np.minimum(wait, np.maximum(batch, 1.0) * service)
    late = 1.0 - _even_shares(len(asked.prompt), 1)[None, :]
    delayed = np.maximum(np.log(load[:, None] / late), 0.0) * (wait / load)[:, None]
    own = (
        table.prompt_s + table.prompt_steps * table.verify_s[:, None] + 0.5 * mean_tpot[:, None]
    )  # arrivals fall into a running step
    return wait + own.mean(axis=1), np.quantile(delayed + own, percentile / 100.0, axis=1)


def sequences_within(limit: Array, mean: float, square: float, percentile: float, arrival_cv_ratio: float) -> Array:
    """Return the mean number of sequences whose total stays within `limit` in this share of the time.

    The number in service varies as a Poisson number, wider for bursty arrivals: its total has the variance
    B * square * (1 + cv^2) / 2, so B solves  B mean + z sqrt(B square (1 + cv^2) / 2) = limit.  With percentile 0 the
    limit itself is used: requests then wait for a place, as in a closed loop.

    Example:
        >>> [round(float(sequences_within(100.0, 1.0, 1.0, percentile, 1.0))) for percentile in (0.0, 95.0)]
        [100, 85]
    """
    score = max(0.0, NormalDist().inv_cdf(percentile / 100.0)) if percentile > 0 else 0.0
    spread = score * math.sqrt(square * (1.0 + arrival_cv_ratio**2) / 2.0)
    root = (np.sqrt(spread**2 + 4.0 * mean * np.maximum(limit, 0.0)) - spread) / (2.0 * mean)
    return root**2
