"""What a load makes of step times: TTFT, TPOT, throughput of closed loops, queues, batches and streams, as arrays.

A cycle of one user takes OSL decoding steps and, in the same time, the prompts of all users that pass through the
replica: that sum does not depend on whether users are in step with each other, only its division between TTFT and TPOT
does. Axis R is one entry for each load.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from steelyard.inference.loads import Load, Queries, Vector
from steelyard.units import Array

_BUSIEST = 0.98  # share of the time that prompts take, up to which the queueing formula is followed
_IN_STEP_RATIO = 0.15
"""Of alike users, who stay in step with each other although prompts share steps with decoding: none in TensorRT-LLM's
gap analysis, a quarter to a half in seven sources that ran vLLM's own benchmark."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Replay:
    """What users meet, means over requests unless said otherwise [R]."""

    ttft_s: Vector
    median_ttft_s: Vector
    last_ttft_s: Vector  # of about the last in a hundred; twice the mean where nobody queues for a place
    looked_s: Vector  # of the TTFT, until the engine looks for the request
    own_s: Vector  # of the TTFT, in steps of the request's own prompt
    ahead_s: Vector  # of the TTFT, in steps of prompts ahead
    place_s: Vector  # of the TTFT, until there is a place
    tpot_s: Vector
    token_step_s: Vector  # of the TPOT, in decoding steps; the rest are prompts of others
    median_itl_s: Vector
    e2e_s: Vector
    output_tokens_per_s: Vector
    prefill_tokens_per_s: Vector
    batch: Vector  # sequences in decoding, mean
    busy_ratio: Vector
    prompt_time_ratio: Vector  # share of the time that prompts add


def ttft_residual_sigma(
    found: Replay, request_overhead_s: Array, overhead_sigma: float, waiting_sigma: float
) -> Vector:
    """Return how far a TTFT may be off beside its step times: standard deviation of its logarithm [R].

    What a server adds to a request, and what stands before it in the queue (how a load tool starts, what comes in
    bunches), are known less well than a step is; each counts by its share of the TTFT.
    """
    overhead = np.asarray(request_overhead_s) / found.ttft_s
    waiting = np.clip(1.0 - overhead - found.own_s / found.ttft_s, 0.0, 1.0)
    return np.asarray(np.hypot(overhead * overhead_sigma, waiting * waiting_sigma))


def replay(
    load: Load, asked: Queries, step_s: Vector, *, request_overhead_s: Array = 0.0, admission_steps: Array = 0.5
) -> Replay:
    """Return what users meet, from the times of the steps of `queries` [4, R].

    cycle = OSL * decode step + batch * what a prompt adds;  TTFT = overhead + admission + own prompt + prompts ahead;
    TPOT = (cycle - the user's own and awaited prompts) / OSL. Ahead are: of requests that come by chance those of a
    queue of finitely many users (twice Pollaczek-Khinchine's, for prompts of one step end together; cut at half of all
    prompts); half of all where everyone starts at once, which a closed loop does for its first requests; and where
    alike requests leave and return together.

    Args:
        load, asked: The loads and their queries.
        step_s: Times [4, R].
        request_overhead_s: Of a request outside of steps; a bare engine has none.
        admission_steps: Decoding steps before a waiting request is looked at.

    Source:
        Little, "A Proof for the Queuing Formula L = lambda W", Operations Research 9(3), 1961; Kleinrock, "Queueing
        Systems", vol. 1, 1975, section 5.6 (M/G/1).
    """
    decode_s, mixed_s, other_s, alone_s = step_s
    static, at_once, stream, closed = (
        load.kind == name for name in ("fixed batch", "all at once", "open loop", "closed loop")
    )
    carried = np.clip(asked.together / load.ranks, 1.0, load.stages)  # micro-batches with prompts
    longer = np.where(static, mixed_s, np.maximum(mixed_s - decode_s, 0.0))

    def passing_s(step_s: Vector) -> Vector:
        return step_s * asked.pieces * carried / (load.stages * asked.together)

    added_s = passing_s(longer)  # by one prompt, to everyone
    decoding = np.maximum(load.osl_tokens - 1.0, 0.0) / load.tokens_per_step
    at_limit_s = decode_s
    present, decode_s = _present(load, stream, decode_s, other_s, added_s, decoding)
    batch = np.minimum(present, load.places)
    alone_s = alone_s + np.where(stream, decode_s - at_limit_s, 0.0)
    overloaded = stream & (batch >= load.places)
    # However few tokens follow, all prompts pass in steps of their own length, and each through all stages; where
    # prompts go first, nobody decodes in those.
    prompts_s = passing_s(batch * np.where(load.prompts_first > 0, longer, mixed_s))
    prompts_s = np.maximum(prompts_s, asked.pieces * alone_s)
    ending_s = _ending(load, asked, batch, at_limit_s, other_s)
    cycle_s = np.where(
        static, decoding * decode_s + batch * added_s + ending_s,
        np.maximum(decoding * decode_s + batch * added_s, prompts_s),
    )  # fmt: skip
    own_s = asked.pieces * alone_s
    around_s = np.where(load.prompts_first > 0, other_s, (other_s + decode_s) / 2.0)  # the rest of a step with prompts
    ahead_s = _ahead(load, asked, present, added_s, around_s, cycle_s)
    half_s = _until_looked_at(load, asked, present, decode_s, added_s, admission_steps)
    ttft_s = np.where(static, batch * added_s, half_s + own_s + ahead_s[0]) + request_overhead_s
    median_s = np.where(static, batch * added_s, half_s + own_s + ahead_s[1]) + request_overhead_s
    awaited_s = np.minimum(ahead_s[0] + own_s - decode_s, batch * added_s)
    left_s = np.where(static, decoding * decode_s, np.maximum(cycle_s - awaited_s, decoding * decode_s))
    rate = batch / np.maximum(cycle_s, 1e-12)
    wait_s = np.where(static, ending_s, 0.0)  # who is answered first waits for the longest answer of the batch
    place_s, median_place_s, last_place_s = (
        queue_s + wait_s for queue_s in _queued(load, rate, static, closed, at_once | overloaded)
    )
    e2e_s = ttft_s + left_s + place_s
    ending_s = ending_s - wait_s
    throughput = _throughput(load, batch, cycle_s, e2e_s, other_s, added_s, decode_s, at_once | overloaded, ending_s)
    prompts = batch * added_s / np.maximum(cycle_s, 1e-12)
    usual = _usual_prompts(load, asked, batch, decoding)
    return Replay(
        ttft_s=ttft_s + place_s,
        median_ttft_s=median_s + median_place_s,
        last_ttft_s=np.where(at_once | overloaded, ttft_s + ahead_s[0] + last_place_s, 2.0 * (ttft_s + place_s)),
        looked_s=np.where(static, 0.0, half_s),
        own_s=np.where(static, batch * added_s, own_s),
        ahead_s=np.where(static, 0.0, ahead_s[0]),
        place_s=place_s,
        tpot_s=left_s / np.maximum(load.osl_tokens - 1.0, 1.0),
        token_step_s=decoding * decode_s / np.maximum(load.osl_tokens - 1.0, 1.0),
        median_itl_s=(decode_s + usual / asked.together * longer) / load.tokens_per_step,
        e2e_s=e2e_s,
        output_tokens_per_s=throughput,
        prefill_tokens_per_s=throughput / np.maximum(load.osl_tokens, 1.0) * load.isl_tokens,
        batch=batch,
        busy_ratio=np.minimum(batch, 1.0),
        prompt_time_ratio=np.clip(prompts, 0.0, 1.0),
    )


def flop_rate(flop: Vector, step_s: Vector, prompt_time_ratio: Vector) -> Vector:
    """Return the FLOP/s of a device while a load runs [R]: of decoding, and of what prompts add, by their time.

    Args:
        flop, step_s: Of the steps of `queries` [4, R].
        prompt_time_ratio: Share of the time that prompts add [R].
    """
    of_prompts = np.maximum(flop[1] - flop[0], 0.0) / np.maximum(step_s[1] - step_s[0], 1e-9)
    rate: Vector = (1.0 - prompt_time_ratio) * flop[0] / step_s[0] + prompt_time_ratio * of_prompts
    return rate


def _usual_prompts(load: Load, asked: Queries, batch: Vector, decoding: Vector) -> Vector:
    """Return how many prompts, or pieces of one, the median step has [R]: none where most steps have none.

    Requests that come by chance, `arriving` a step in the mean, leave exp(-arriving) of the steps without one: half of
    them at ln 2, and from there on the median step has about so many fewer than the mean one. Alike requests of a
    closed loop come in bunches.
    """
    arriving = asked.pieces * batch / np.maximum(decoding, 1.0)
    bunched = np.where(arriving > asked.together / 2.0, asked.together, 0.0)
    by_chance = np.clip(arriving - np.log(2.0), 0.0, asked.together)
    return np.where(load.kind == "fixed batch", 0.0, np.where(load.alike, bunched, by_chance))


def _present(
    load: Load, stream: npt.NDArray[np.bool_], decode_s: Vector, other_s: Vector, added_s: Vector, decoding: Vector
) -> tuple[Vector, Vector]:
    """Return the requests in the system, were there a place for each, and the time of a step of those that have one.

    Of a stream of N requests, those present when the last one comes are what was sent less what was answered by then:
    n = N - (N / rate) * n / cycle(n),  cycle(n) = decoding * step(n) + n * added,  with a step that grows straight from
    one sequence to the limit. In the long run n / cycle(n) is the rate; of N sent at once all are present.
    """
    slope = np.where(load.places > 1.0, (decode_s - other_s) / np.maximum(load.places - 1.0, 1e-9), 0.0)
    flat = np.maximum(other_s - slope, 0.0)
    few = load.request_rate_per_s * decoding * flat  # requests that come while one is answered alone
    each = load.request_rate_per_s * (decoding * slope + added_s)
    sent = np.maximum(load.requests, 1.0)
    room = 1.0 - each + few / sent  # of  each / N n^2 + room n = few
    root = room + np.sqrt(room**2 + 4.0 * each * few / sent)
    present = np.where(stream, np.minimum(2.0 * few / np.maximum(root, 1e-300), sent), load.users)
    return present, np.where(stream, flat + slope * np.clip(present, 1.0, load.places), decode_s)


def _queued(
    load: Load,
    rate: Vector,
    static: npt.NDArray[np.bool_],
    closed: npt.NDArray[np.bool_],
    flooded: npt.NDArray[np.bool_],
) -> tuple[Vector, Vector, Vector]:
    """Return how long requests wait for a place: in the mean, of the median and of the last request.

    What comes at once, or faster than it is answered, is a queue that grows: request k of N waits
    k (1 / answered per second - 1 / sent per second) - places / answered per second, if that is above 0.
    """
    gain_s = np.maximum(1.0 / np.maximum(rate, 1e-12) - load.between_s, 1e-12)
    count = np.where(load.kind == "open loop", load.requests, load.users)
    spare_s = load.places / np.maximum(rate, 1e-12)
    last_s = np.maximum(count * gain_s - spare_s, 0.0)
    mean_s = last_s**2 / (2.0 * np.maximum(count, 1.0) * gain_s)
    median_s = np.maximum(count * gain_s / 2.0 - spare_s, 0.0)
    waves = np.maximum(load.requests / np.maximum(load.users, 1.0), 1.0)
    behind_s = np.maximum(load.users - load.places, 0.0) / np.maximum(rate, 1e-12)
    steady_s = np.where(closed | static, behind_s * (1.0 - 0.5 / waves), 0.0)
    none = load.kind == "saturated"
    found = ((mean_s, steady_s), (median_s, steady_s), (last_s, steady_s))
    mean, median, last = (np.where(none, 0.0, np.where(flooded, queue, other)) for queue, other in found)
    return mean, median, last


def _until_looked_at(
    load: Load, asked: Queries, present: Vector, decode_s: Vector, added_s: Vector, admission_steps: Array
) -> Vector:
    """Return how long a request waits for the running step, and for the engine to look for it [s].

    Only where others run: of a stream, a Poisson number of them.
    """
    waited, joined = _held(load, asked, np.minimum(present, load.places))
    others = np.where(load.kind == "open loop", 1.0 - np.exp(-present), np.clip(load.users - 1.0, 0.0, 1.0))
    looked_s = others * ((admission_steps + waited) * decode_s + joined * added_s)
    return np.where((load.kind == "fixed batch") | (load.kind == "all at once"), 0.0, looked_s)


def _held(load: Load, asked: Queries, batch: Vector) -> tuple[Vector, Vector]:
    """Return how long the engine lets a prompt wait on purpose, in decoding steps, and how many prompts join it.

    An engine that looks for requests every n steps finds one after n/2 of them, in the mean. One that holds prompts
    back waits n steps from the first of them on, or until a step is full: those that come later wait less.
    """
    arriving = batch * load.tokens_per_step / np.maximum(load.osl_tokens, 1.0)  # prompts a step
    between = np.where(load.receive_steps > 1.0, load.receive_steps, 0.0)
    held = np.minimum(load.hold_steps, asked.most / np.maximum(arriving, 1e-9))
    behind = held * arriving  # of those that come after the first one
    waited = between / 2.0 + held * (1.0 + behind / 2.0) / (1.0 + behind)
    return waited, arriving * (between + held) / 2.0


def _ahead(
    load: Load,
    asked: Queries,
    present: Vector,
    added_s: Vector,
    around_s: Vector,
    cycle_s: Vector,
) -> tuple[Vector, Vector]:
    """Return how long a prompt waits for those ahead of it: in the mean, and of the median request.

    Prompts of one step end together; alike requests come in bunches, as in `queries`. Of a stream whose prompts come
    faster than steps full of them pass, each falls behind by the difference; all sent at once is the limit of that.
    """
    batch = np.minimum(present, load.places)
    others = np.maximum(batch - 1.0, 0.0)
    busy = np.clip(others * added_s / np.maximum(cycle_s, 1e-12), 0.0, _BUSIEST)
    first = _before_middle(batch, asked, added_s, around_s)  # everyone starts at once
    ahead = added_s * busy / (2.0 * (1.0 - busy))
    bunch = np.maximum(np.minimum(ahead + (asked.together - 1.0) * added_s, first), _IN_STEP_RATIO * first)
    bunched = np.where(load.prompts_first > 0, first, bunch)
    # Prompts of one step end together: who comes by chance waits for those behind as well as for those ahead.
    queue = np.where(load.alike, bunched, np.minimum(2.0 * ahead, first))
    # Waits are exponential, and there is one where a prompt is in the running step or another joins one's own.
    chance = np.maximum(1.0 - (1.0 - busy) ** 2, 0.5)  # below a half the median request has none
    median = np.where(load.alike, queue, queue * (np.log(2.0 * chance) / chance))
    closed, stream = load.kind == "closed loop", load.kind == "open loop"
    starting = np.where(closed, np.minimum(load.users / np.maximum(load.requests, 1.0), 1.0), 0.0)
    sent = np.where(stream, load.requests, load.users)
    passing = sent * np.minimum(load.places / np.maximum(present, 1e-300), 1.0)  # until all places are taken
    behind = _before_middle(passing, asked, added_s - load.between_s, around_s)
    behind = np.where(stream | (load.kind == "all at once"), np.maximum(behind, 0.0), 0.0)
    return np.maximum(behind, starting * first + (1.0 - starting) * queue), np.maximum(behind, median)


def _before_middle(count: Vector, asked: Queries, each_s: Vector, around_s: Vector) -> Vector:
    """Return what passes before the middle one of so many prompts [s]; those of one step end together."""
    prompts = np.maximum((count + np.minimum(asked.most, count)) / 2.0 - 1.0, 0.0)
    steps = np.maximum(count / asked.most - 1.0, 0.0) / 2.0
    return np.asarray(prompts * each_s + steps * around_s)


def _ending(load: Load, asked: Queries, batch: Vector, decode_s: Vector, other_s: Vector) -> Vector:
    """Return by how much answers of uneven length outlast even ones, once nothing is left to take their place [s].

    A step takes  flat + slope * sequences,  so that uneven lengths leave the slope's part as it is (all tokens) and
    lengthen the flat one: the last of n answers is about  1 + s (2 ln n)^(1/2)  mean lengths long, s = spread / mean.
    Where others waited, those that decode when the last one starts are on their way already, with (1 + s^2) / 2 of a
    mean length left to each. A static batch is decoded in its full width until the last of its answers is done.
    """
    spread, static = load.length_spread_ratio, load.kind == "fixed batch"
    fewer = np.maximum(batch - asked.decode_sequences[2], 0.0)
    slope = np.where(fewer > 0, np.maximum(decode_s - other_s, 0.0) / np.maximum(fewer, 1e-9), 0.0)
    flat = np.maximum(other_s - slope * asked.decode_sequences[2], 0.0)
    count = np.maximum(batch, 1.0)
    longest = 1.0 + spread * np.sqrt(2.0 * np.log(count))
    turned = load.requests > np.maximum(batch, load.users)  # places that others took
    turned = turned | (load.users > load.places)
    even = np.where(turned, (1.0 + (count - 1.0) * (1.0 + spread**2) / 2.0) / count, 1.0)
    more = np.maximum(longest - np.where(static, 1.0, even), 0.0) * load.osl_tokens / load.tokens_per_step
    ends = (spread > 0) & (load.kind != "saturated")
    return np.where(ends, more * np.where(static, decode_s, flat), 0.0)


def _throughput(
    load: Load,
    batch: Vector,
    cycle_s: Vector,
    e2e_s: Vector,
    other_s: Vector,
    added_s: Vector,
    decode_s: Vector,
    queued: npt.NDArray[np.bool_],
    ending_s: Vector,
) -> Vector:
    """Return the output tokens of all requests over the time they take [token/s].

    A queue longer than the batch is whole waves of the largest batch, then the rest at its own, shorter step. A closed
    loop ends after as many requests as were sent.
    """
    full = batch * load.osl_tokens / np.maximum(cycle_s, 1e-12)
    present = np.where(queued & (load.kind == "open loop"), load.requests, load.users)
    crowded = present > load.places
    whole = np.floor(present / np.maximum(load.places, 1e-9))
    rest = other_s * np.clip(present - whole * load.places, 0.0, 1.0)
    steps = load.osl_tokens / load.tokens_per_step
    total_s = 1e-12 + steps * (whole * decode_s + rest) + present * added_s + ending_s
    stream = load.kind == "open loop"
    count = np.where(stream, load.requests, load.users)
    rounds = np.where(load.kind == "closed loop", np.maximum(load.requests / np.maximum(load.users, 1.0), 1.0), 1.0)
    over_s = np.where(stream, count * load.between_s, 0.0) + rounds * e2e_s + ending_s  # until the last is answered
    some = rounds * count * load.osl_tokens / np.maximum(over_s, 1e-12)
    some = np.where(load.kind == "saturated", full, some)
    long_s = load.requests * load.osl_tokens / np.maximum(full, 1e-12) + ending_s
    lasting = np.where(load.kind == "closed loop", load.requests * load.osl_tokens / np.maximum(long_s, 1e-12), full)
    return np.where(crowded, np.where(queued, present * load.osl_tokens / total_s, lasting), some)
