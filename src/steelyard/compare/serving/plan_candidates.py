"""The deployments that a search looks at: every cut of the model, and groups of separate prefill and decode workers.

Closed-form bounds order them; the simulator decides among the best.
"""

from __future__ import annotations

import dataclasses
import math
from itertools import zip_longest
from typing import Any

import numpy as np

from steelyard import arch, device, inference
from steelyard.compare.serving.plan_account import NO_FIGURE, NO_FIT, NO_START
from steelyard.compare.serving.plan_result import Candidate
from steelyard.compare.serving.plan_search import Search
from steelyard.compare.serving.workers import decode_rate, prefill_rate, prompt_s
from steelyard.errors import UnknownError
from steelyard.inference import simulator
from steelyard.records.workload import Lengths

_BOUND_SAMPLES = 4096
_OF_EACH = 3  # candidates of every kind of device that are simulated at least
_WORKERS = 6  # layouts of either kind that are paired
_MOST_OF_A_KIND = 32  # workers of a group
_SHARES = (1.0, 0.8)  # of a prefill worker's rate: at all of it prompts queue without end
_AS_GOOD_RATIO = 0.97  # a smaller group within this share of the best is preferred


def candidates(search: Search) -> list[Candidate]:
    """Return every replica that fits, with its closed-form bound; what does not is noted with its reason."""
    question, found = search.question, []
    lengths = _thinned(search.demand.lengths)
    for on in {search.on(name).id: search.on(name) for name in question.devices}.values():  # each once
        for dtype in dict.fromkeys(question.weight_dtypes or (None,)):
            for cut in _cuts(search.model, on, question.max_devices):
                stored = inference.deployment_for(
                    search.model, cut["tp"], weight_dtype=dtype, kv_dtype=question.kv_dtype
                )
                found.append(_bounded(search, on, dataclasses.replace(stored, **cut), lengths))
    return [one for one in found if one is not None]


def _bounded(search: Search, on: device.Device, deployment: inference.Deployment, lengths: Lengths) -> Candidate | None:
    """Return a replica with its rate within the TPOT objective in closed form; None where something forbids it."""
    model, engine = search.model, search.question.engine_on(on)
    candidate = Candidate(device_id=on.id, deployment=deployment, bound_request_per_s=0.0)
    if (broken := inference.broken_cut(model, deployment, engine)) is not None:
        search.lose(candidate, NO_START, broken)
        return None
    only_tpot = dataclasses.replace(search.question.objective, ttft_s=math.inf)
    try:
        over_ratio, told = inference.shortfall(inference.memory(model, on, deployment, lengths, engine=engine))
        if told:
            search.lose(candidate, NO_FIT, told, over_ratio)
            return None
        form = inference.steady(
            model, on, deployment, lengths, only_tpot, engine=engine, speculation=search.question.speculation
        )
    except UnknownError as error:
        search.lose(candidate, NO_FIGURE, str(error))
        return None
    return dataclasses.replace(candidate, bound_request_per_s=float(np.max(form.request_rate_per_s)))


def _thinned(lengths: Lengths) -> Lengths:
    """Return at most so many of the samples, evenly spread."""
    step = -(-len(lengths.isl_tokens) // _BOUND_SAMPLES)
    return dataclasses.replace(lengths, isl_tokens=lengths.isl_tokens[::step], osl_tokens=lengths.osl_tokens[::step])


def _cuts(model: arch.Model, on: device.Device, most: int) -> list[dict[str, Any]]:
    """Return the ways of cutting a model: tp within a scale-up domain or a node, dp with ep for experts, pp beyond."""
    linked = max(1, on.accelerator.scale_up_devices)
    domain = max(linked, on.accelerator.devices_per_node)  # cards without links of their own share a host's PCIe
    powers = [2**power for power in range(most.bit_length())]
    cuts = []
    for tp in (ways for ways in powers if ways <= min(domain, most, max(model.num_heads, 1))):
        cuts.append({"tp": tp, "ep": 1})
        if model.num_experts:
            cuts += [
                {"tp": tp, "dp": dp, "ep": tp * dp}
                for dp in powers
                if 1 < tp * dp <= min(most, domain, model.num_experts)
            ]
        cuts += [
            {"tp": tp, "pp": pp, "ep": 1} for pp in (2, 4) if tp * pp <= most and tp in {min(linked, 8), min(domain, 8)}
        ]
    return cuts


def best_of_each(found: list[Candidate], most: int) -> list[Candidate]:
    """Return the candidates that answer most a device, each kind of device in turn: which is cheapest is seen later.

    Args:
        found: Candidates with their bounds.
        most: How many, unless there are more kinds; each has its best `_OF_EACH` at least.

    Example:
        >>> from steelyard.inference import Deployment
        >>> found = [Candidate(device_id=name, deployment=Deployment(tp=tp), bound_request_per_s=rate)
        ...          for name, tp, rate in (("h100", 1, 9.0), ("h100", 2, 16.0), ("l4", 1, 2.0))]
        >>> [one.name for one in best_of_each(found, 2)]
        ['h100 tp1 bf16', 'l4 tp1 bf16', 'h100 tp2 bf16']
    """
    by_device: dict[str, list[Candidate]] = {}
    for one in sorted(found, key=_worth, reverse=True):
        by_device.setdefault(one.device_id, []).append(one)
    in_turn = [one for rank in zip_longest(*by_device.values()) for one in rank if one is not None]
    return in_turn[: max(most, _OF_EACH * len(by_device))]


def _worth(candidate: Candidate) -> float:
    return candidate.bound_request_per_s / candidate.num_devices


def groups(search: Search, whole: list[Candidate], most: int) -> list[Candidate]:
    """Return the best groups of separate prefill and decode workers of one device kind, each laid out for its work.

    A group of p prefill and d decode workers answers at most min(p P, d D) requests/s, P and D being what a worker of
    either layout does alone: from its table of step times, D at the largest batch within the TPOT objective.

    Args:
        search: What is asked.
        whole: Replicas that fit; their layouts are those of the workers.
        most: How many groups.
    """
    found: list[Candidate] = []
    kinds = dict.fromkeys((one.device_id, one.deployment.weight_dtype) for one in whole)
    for device_id, dtype in kinds:
        on = search.on(device_id)
        layouts = [
            one.deployment
            for one in whole
            if one.device_id == device_id and one.deployment.weight_dtype == dtype and one.deployment.pp == 1
        ]
        if on.accelerator.scale_out_bytes_per_s > 0:
            found += _paired(search, on, layouts)
    return best_of_each(found, most)


def _paired(search: Search, on: device.Device, layouts: list[inference.Deployment]) -> list[Candidate]:
    """Return the best ratio of every pair of layouts of one device kind."""
    lengths, asked = search.demand.lengths, search.question.objective
    longest = float(np.percentile(lengths.isl_tokens, asked.ttft_percentile))
    prefill, decode = [], []
    for layout in layouts:
        replica = search.replica(on.id, layout)
        if prompt_s(replica, longest) <= asked.ttft_s:
            prefill.append((prefill_rate(replica, lengths), layout))
        decode.append((*decode_rate(replica, lengths, asked.tpot_s), layout))
    prefill.sort(key=lambda one: -one[0] / one[1].num_devices)
    decode.sort(key=lambda one: -one[0] / one[2].num_devices)
    found = {}
    for made in prefill[:_WORKERS]:
        for taken in decode[:_WORKERS]:
            for share in _SHARES:
                group = _best_ratio(search, on, (made[0] * share, made[1]), taken)
                if group is not None:
                    found[dataclasses.replace(group, bound_request_per_s=0.0)] = group
    return list(found.values())


def _best_ratio(
    search: Search,
    on: device.Device,
    made: tuple[float, inference.Deployment],
    taken: tuple[float, int, inference.Deployment],
) -> Candidate | None:
    """Return the numbers of prefill and decode workers that answer most a device; the smaller group of equals.

    What a group could answer beyond the demand is worth nothing.
    """
    (prefill_per_s, prefill), (decode_per_s, batch, decode) = made, taken
    numbers = np.arange(1, min(search.question.max_devices, _MOST_OF_A_KIND) + 1)
    p, d = numbers[:, None], numbers[None, :]
    devices = p * prefill.num_devices + d * decode.num_devices
    rate = np.minimum(p * prefill_per_s, d * decode_per_s)
    asked = math.inf if search.request_rate_per_s is None else search.request_rate_per_s
    worth = np.where(devices <= search.question.max_devices, np.minimum(rate, asked) / devices, 0.0)
    if not worth.max() > 0:
        return None
    place = np.argmin(np.where(worth >= _AS_GOOD_RATIO * worth.max(), devices, np.iinfo(np.int64).max))
    i, j = np.unravel_index(int(place), worth.shape)
    whole = int(devices[i, j])
    return Candidate(
        device_id=on.id,
        deployment=decode,
        max_sequences=batch,
        prefill=prefill,
        prefill_replicas=int(numbers[i]),
        decode_replicas=int(numbers[j]),
        transfer_s_per_token=simulator.transfer_s_per_token(
            search.model, on, prefill, search.demand.lengths, to=decode, num_devices=whole
        ),
        bound_request_per_s=float(rate[i, j]),
    )
