"""The seven factors of both activities as one small model showed them, measured beside predicted."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from steelyard import arch, device, inference, training
from steelyard.compare.measured.beside import CORE, SHARED, WHOLE, predicted_load, predicted_training
from steelyard.compare.measured.row import Row, flat, row
from steelyard.measure.training import TrainingMeasures
from steelyard.records.trial import ServingTrial, TrainingTrial, Trial
from steelyard.units import SECONDS_PER_DAY

_NO_LAW = "not predicted: no law of this text; `steelyard measure scaling-law` fits one"
_MEASURED_ONLY = "not predicted"
_MTOKEN = 1e6


@dataclass(frozen=True)
class MeasuredComparison:
    """A trial of both activities and what is predicted for it, without being told the outcome."""

    trial: Trial
    worth: TrainingMeasures  # of the model that was trained
    usd_per_device_s: float | None = None  # of the whole machine

    @cached_property
    def model(self) -> arch.Model:
        return arch.from_config(self.trial.config, id="trial")

    @cached_property
    def rows(self) -> tuple[Row, ...]:
        """The seven factors, in their order; inference first."""
        own, other = tuple(_rows(self)), tuple(_of_pretrained(self))
        names = dict.fromkeys(one.factor for one in own)
        return tuple(one for name in names for one in (*own, *other) if one.factor == name)

    @cached_property
    def kept(self) -> tuple[training.Step, training.Memory]:
        return self._step(self.trial.training, WHOLE)

    @cached_property
    def steps(self) -> Mapping[str, training.Step]:
        """Steps predicted for the runs that show how training scales."""
        return {
            name: self._step(run, SHARED if run.ranks * run.together > 1 else CORE)[0]
            for name, run in self.trial.scaling.items()
        }

    @cached_property
    def loads(self) -> Mapping[str, inference.UnderLoad]:
        """What is predicted of one replica for each load."""
        return {name: self._load(run) for name, run in self.trial.serving.items()}

    @property
    def copies(self) -> int:
        return self.trial.serving["all"].replicas

    def _step(self, run: TrainingTrial, on: str) -> tuple[training.Step, training.Memory]:
        return predicted_training(
            self.model, on, ranks=run.ranks, sequence_tokens=run.sequence_tokens, batch=run.batch,
            micro_batch=run.micro_batch, dtype=run.dtype,
        )  # fmt: skip

    def _load(self, run: ServingTrial) -> inference.UnderLoad:
        return predicted_load(
            self.model, SHARED if run.replicas > 1 else CORE, isl_tokens=run.isl_tokens, osl_tokens=run.osl_tokens,
            users=run.users / run.replicas, slots=run.slots, length_spread_ratio=run.length_spread_ratio,
        )  # fmt: skip

    def to_dict(self) -> dict[str, Any]:
        other = self.trial.pretrained
        return {
            "params": float(arch.count_params(self.model).total_params),
            "prompt": self.trial.prompt,
            "answer": self.trial.answer,
            "pretrained": None
            if other is None
            else {"name": other.name, "prompt": other.prompt, "answer": other.answer},
            "factors": [one.to_dict() for one in self.rows],
        }


def compare_measured(
    trial: Trial, worth: TrainingMeasures, *, usd_per_device_s: float | None = None
) -> MeasuredComparison:
    """Return the seven factors of a trial, measured beside predicted.

    Args:
        trial: What was trained and served on this machine.
        worth: Of the model that was trained.
        usd_per_device_s: Of the machine as a whole; device-seconds stand for money when None.

    Raises:
        UnknownError: This machine has not been measured.
    """
    return MeasuredComparison(trial, worth, usd_per_device_s)


def _rows(found: MeasuredComparison) -> Iterator[Row]:
    for factor in (
        _purpose, _compute_cost, _time_to_value, _hardware, _enterprise, _scalability, _goals,
    ):  # fmt: skip
        yield from factor(found)


def _purpose(found: MeasuredComparison) -> Iterator[Row]:
    served, rate = found.trial.serving["all"].metrics, flat(found.loads["all"].request_rate_per_s)
    yield row(
        "purpose", "inference", "requests answered a day, all replicas", "request",
        served.request_rate_per_s * SECONDS_PER_DAY, rate * found.copies * SECONDS_PER_DAY,
    )  # fmt: skip
    wall = _kept_wall_s(found)
    yield row(
        "purpose", "training", "such models trained a day", "model", SECONDS_PER_DAY / found.worth.elapsed_s,
        SECONDS_PER_DAY / wall,
    )  # fmt: skip
    yield row("purpose", "training", "held-out bits per byte", "", found.worth.bits_per_byte, note=_NO_LAW)


def _compute_cost(found: MeasuredComparison) -> Iterator[Row]:
    price, unit = (found.usd_per_device_s, "usd") if found.usd_per_device_s else (1.0, "device_s")
    served, speed = found.trial.serving["all"].metrics, flat(found.loads["all"].output_tokens_per_s) * found.copies
    yield row(
        "compute_cost", "inference", "a million answer tokens", unit, price * _MTOKEN / served.output_tokens_per_s,
        price * _MTOKEN / speed,
    )  # fmt: skip
    trained = flat(found.kept[0].tokens_per_s)
    yield row(
        "compute_cost", "training", "a million tokens trained on", unit,
        price * _MTOKEN / found.trial.training.tokens_per_s, price * _MTOKEN / trained,
    )  # fmt: skip
    yield row("compute_cost", "training", "the run", unit, price * found.worth.elapsed_s, price * _kept_wall_s(found))


def _time_to_value(found: MeasuredComparison) -> Iterator[Row]:
    for name, users in (("alone", "1 user"), ("batch", f"{found.trial.serving['batch'].users} users")):
        seen, load = found.trial.serving[name].metrics, found.loads[name]
        for label, unit_s, predicted in (
            ("TTFT", seen.ttft, load.ttft_s), ("TPOT", seen.tpot, load.tpot_s), ("E2E", seen.e2e, load.e2e_s),
        ):  # fmt: skip
            yield row("time_to_value", "inference", f"{label}, mean, {users}", "s", unit_s.mean_s, flat(predicted))
    yield row(
        "time_to_value", "inference", "from the command to the first answer", "s", found.trial.started_s,
        note=_MEASURED_ONLY,
    )  # fmt: skip
    yield row("time_to_value", "training", "a step", "s", found.trial.training.step_s, flat(found.kept[0].step_s))
    yield row("time_to_value", "training", "until the model was there", "s", found.worth.elapsed_s, _kept_wall_s(found))


def _of_pretrained(found: MeasuredComparison) -> Iterator[Row]:
    """Yield what a pretrained model gave: measured only, its file mixes formats of blocks that no record states."""
    model = found.trial.pretrained
    if model is None:
        return
    one, several = model.serving["one"], model.serving["all"]
    speeds = one.metrics.output_tokens_per_s, several.metrics.output_tokens_per_s
    for factor, label, unit, seen in (
        ("time_to_value", "TPOT, mean, 1 user", "s", model.serving["alone"].metrics.tpot.mean_s),
        (
            "scalability",
            f"efficiency of {several.replicas} replicas",
            "ratio",
            speeds[1] / speeds[0] / several.replicas,
        ),
        ("optimisation_goals", f"output throughput of a replica, {one.users} users", "token_per_s", speeds[0]),
    ):
        yield row(factor, "inference", f"{model.name}: {label}", unit, seen, note=_MEASURED_ONLY)


def _hardware(found: MeasuredComparison) -> Iterator[Row]:
    held = found.loads["one"].memory
    cache_bytes = held.sequence_bytes * found.trial.serving["one"].slots
    yield row(
        "hardware_requirements", "inference", "memory of a replica with its door", "bytes", found.trial.serving_bytes,
        np.ravel(np.asarray(held.weight_bytes) + cache_bytes + held.framework_bytes),
    )  # fmt: skip
    yield row(
        "hardware_requirements", "training", "memory of a process", "bytes", found.trial.training.peak_memory_bytes,
        np.ravel(found.kept[1].total_bytes),
    )  # fmt: skip


def _enterprise(found: MeasuredComparison) -> Iterator[Row]:
    rate = found.trial.serving["all"].metrics.request_rate_per_s
    predicted = _kept_wall_s(found) * flat(found.loads["all"].request_rate_per_s) * found.copies
    yield row(
        "enterprise_relevance", "inference", "requests until inference has cost as much as training", "request",
        found.worth.elapsed_s * rate, predicted,
    )  # fmt: skip


def _scalability(found: MeasuredComparison) -> Iterator[Row]:
    one, several = found.trial.serving["one"].metrics, found.trial.serving["all"].metrics
    predicted = flat(found.loads["all"].output_tokens_per_s) / flat(found.loads["one"].output_tokens_per_s)
    yield row(
        "scalability", "inference", f"efficiency of {found.copies} replicas", "ratio",
        several.output_tokens_per_s / one.output_tokens_per_s / found.copies, predicted,
    )  # fmt: skip
    runs, steps = found.trial.scaling, found.steps
    ranks = runs["ranks"].ranks
    yield row(
        "scalability", "training", f"efficiency of {ranks} ranks", "ratio",
        runs["ranks"].tokens_per_s / runs["one"].tokens_per_s / ranks,
        flat(steps["ranks"].tokens_per_s) / flat(steps["one"].tokens_per_s) / ranks,
    )  # fmt: skip
    share = flat(steps["ranks"].exposed_comm_s) / flat(steps["ranks"].step_s)
    yield row(
        "scalability", "training", "share of a step that is communication", "ratio",
        max(1.0 - runs["apart"].step_s / runs["ranks"].step_s, 0.0), share,
        note="measured: against as many runs that do not talk",
    )  # fmt: skip


def _goals(found: MeasuredComparison) -> Iterator[Row]:
    one = found.trial.serving["one"]
    yield row(
        "optimisation_goals", "inference", f"output throughput of a replica, {one.users} users", "token_per_s",
        one.metrics.output_tokens_per_s, flat(found.loads["one"].output_tokens_per_s),
    )  # fmt: skip
    speed, flop = found.trial.training.tokens_per_s, found.worth.flop_per_token
    predicted = flat(found.kept[0].tokens_per_s)
    yield row("optimisation_goals", "training", "training speed", "token_per_s", speed, predicted)
    if flop is not None:
        whole = device.load(WHOLE)
        peak = device.peak_flop_per_s(whole, device.effective_compute_dtype(whole, found.trial.training.dtype))
        yield row(
            "optimisation_goals", "training", "MFU, of the peak measured", "ratio", speed * flop / peak,
            predicted * flop / peak,
        )  # fmt: skip
    worth = found.worth
    yield row("optimisation_goals", "training", "held-out perplexity", "", worth.perplexity, note=_NO_LAW)
    yield row(
        "optimisation_goals", "training", "generalisation gap", "nats_per_token", worth.train_eval_gap_nats,
        note=_MEASURED_ONLY,
    )  # fmt: skip
    for task, share in worth.accuracy_ratio.items():
        note = "chance is 25%; " + _MEASURED_ONLY if task == "cloze" else _MEASURED_ONLY
        yield row("optimisation_goals", "training", f"accuracy, {task}", "ratio", share, note=note)


def _kept_wall_s(found: MeasuredComparison) -> npt.NDArray[np.float64]:
    """Return the predicted time of the run that was kept: its tokens at the predicted speed [D]."""
    return found.worth.tokens / flat(found.kept[0].tokens_per_s)
