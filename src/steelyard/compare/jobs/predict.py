"""One training job in one layout: time of a step, memory, the run, money, energy, loss."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from steelyard import training
from steelyard.compare.cited import cited, term_names
from steelyard.compare.draws import Draws
from steelyard.compare.jobs.bill import Bill, bill
from steelyard.compare.jobs.drawn import drawn_run
from steelyard.compare.jobs.job import TrainingJob
from steelyard.compare.jobs.layouts import layout_dict
from steelyard.compare.jobs.loss import Quality, quality
from steelyard.compare.result import Evidence, Quantity
from steelyard.records.estimate import Estimate, estimate
from steelyard.records.term import Term, explain
from steelyard.units import Array

RESERVE_RATIO = 0.1  # of the usable memory: less than this left over is worth a warning


@dataclass(frozen=True, kw_only=True)
class TrainingPrediction:
    """What is predicted for one layout. `step` and `memory` are the median case, `run` and `bill` hold the draws."""

    job: TrainingJob
    layout: training.Layout
    searched: training.Found | None  # where the layout was not stated: the search that found it
    step: training.Step
    memory: training.Memory
    median_run: training.Run
    run: training.Run
    bill: Bill
    quality: Quality | None

    @property
    def fits(self) -> bool:
        return bool(self.memory.fits)

    def quantities(self) -> Iterator[Quantity]:
        """Yield the results of the run with their ranges, in the order a reader wants them."""
        run, cost = self.run, self.bill
        yield _quantity("time to train", run.wall_s, "s")
        yield _quantity("device time, spares included", run.device_s, "device_s")
        yield _quantity("share of the time with kept progress (goodput)", run.goodput_ratio, "ratio")
        yield _quantity("failures to expect", run.failure_count, "failure")
        yield _quantity("work between checkpoints", run.checkpoint_interval_s, "s")
        yield _quantity("MFU of a step (the headline)", run.mfu_ratio, "ratio")
        yield _quantity("MFU of the whole job", run.whole_job_mfu_ratio, "ratio")
        rented = f"rented ({cost.rental.kind})" if cost.rental else "rented"
        yield _quantity(rented, cost.rented_usd, "usd")
        yield _quantity("amortised on an owned cluster", cost.amortised_usd, "usd")
        yield _quantity("cluster bought for it", cost.bought_usd, "usd")
        yield _quantity("energy at the meter", cost.energy_j, "j")
        yield _quantity(f"carbon ({self.job.region})", cost.carbon_kgco2e, "kgco2e")

    def trees(self) -> dict[str, Term]:
        """Return the trees of terms behind the result, of the median case."""
        found = {"step": explain(self.step), "mfu": explain(self.step, "mfu_ratio"), "memory": explain(self.memory)}
        found |= {"run": explain(self.median_run), "energy": explain(self.median_run, "it_energy_j")}
        if self.bill.accountings is not None:
            parts = ("rented_usd", "amortised_usd", "bought_usd")
            found |= {name.removesuffix("_usd"): explain(self.bill.accountings, name) for name in parts}
        if self.quality is not None:
            found["loss"] = self.quality.tree()
        return found

    @property
    def warnings(self) -> tuple[str, ...]:
        left = float(self.memory.usable_bytes - self.memory.total_bytes)
        tight = self.fits and left < RESERVE_RATIO * float(np.max(self.memory.usable_bytes))
        told = (
            (f"only {left / 1e9:.1f} GB of device memory are left over: it may not fit in practice",) if tight else ()
        )
        return (*self.job.model.warnings, *told, *self.bill.unpriced)

    @property
    def sources(self) -> tuple[str, ...]:
        return cited(self.trees().values(), [self.bill.grid.source])

    def to_dict(self) -> dict[str, Any]:
        """Return the result as plain values in SI."""
        step, memory = self.step, self.memory
        found: dict[str, Any] = {
            "layout": layout_dict(self.layout),
            "fits": self.fits,
            "step": _values(step),
            "memory": _values(memory) | {"biggest": [name for name, _ in memory.biggest()]},
            "run": {item.label: item.to_dict() for item in self.quantities()},
            "tokens": self.job.tokens,
            "step_count": float(np.max(self.median_run.step_count)),
        }
        if self.quality is not None:
            found["quality"] = _quality_dict(self.quality)
        if self.searched is not None:
            found["num_layouts"], found["num_fitting"] = self.searched.num_layouts, self.searched.num_fitting
        return found


def predict_training(
    job: TrainingJob,
    layout: training.Layout | None = None,
    *,
    num_devices: int | None = None,
    progress: Callable[[int], None] | None = None,
) -> TrainingPrediction:
    """Return what a training job takes in one layout: time, memory, money, energy, and the loss it reaches.

    Args:
        job: What is trained, on what, how it is paid.
        layout: How it is split; when None the simplest on `num_devices` that is as fast as the fastest but for noise.
        num_devices: Where no layout is stated; the least that hold the training when None.
        progress: Called with the number of layouts as a search for one goes on.

    Raises:
        InputError: The layout breaks a rule, or no layout divides the job.
        DoesNotFitError: No layout was stated and none fits so many devices.
        UnknownError: A model, device, region or dtype that the catalogue does not know.

    Example:
        >>> from steelyard.compare.jobs import TrainingJob, predict_training
        >>> tuning = TrainingJob(model_ref="llama-3.1-8b", device_ref="h100", tokens=15e6, kind="lora")
        >>> found = predict_training(tuning, num_devices=8)
        >>> found.fits, bool(found.run.wall_s.max() < 3600)
        (True, True)
    """
    searched = None
    if layout is None:
        count = num_devices or training.least_devices(
            job.model, job.device, seq_tokens=job.seq_tokens, recipe=job.step_job.recipe
        )
        searched = training.search(job.step_job, count, progress=progress)
        layout = training.simplest(job.step_job, searched)
    step = job.step_job.step(layout)

    def at(draws: Draws) -> training.Run:
        return drawn_run(draws, step, model=job.model, device=job.device, tokens=job.tokens, method=job.method)

    run = at(job.drawn)
    return TrainingPrediction(
        job=job,
        layout=layout,
        searched=searched,
        step=step,
        memory=job.step_job.memory(layout),
        median_run=at(Draws(1, None)),
        run=run,
        bill=bill(job, run, job.drawn),
        quality=quality(job),
    )


def _quantity(label: str, draws: Array | None, unit: str, evidence: Evidence = "predicted") -> Quantity:
    if draws is None:
        return Quantity(label=label, value=None, unit=unit, evidence=evidence, note="unpriced")
    return Quantity(label=label, value=estimate(draws), unit=unit, evidence=evidence)


def _values(record: Any) -> dict[str, float]:
    """Return the terms of a record of one configuration as plain numbers."""
    return {node: float(np.max(getattr(record, node))) for node in term_names(record)}


def _quality_dict(found: Quality) -> dict[str, Any]:
    names = ("loss_nats_per_token", "perplexity", "bits_per_byte", "best_params", "best_tokens", "target_tokens")
    ranges: dict[str, Estimate | None] = {name: getattr(found, name) for name in names}
    points = ("params", "effective_tokens", "best_loss_nats_per_token", "lifetime_params", "lifetime_tokens")
    return {name: getattr(found, name) for name in points} | {
        name: None if value is None else {"value": value.p50, "least": value.p10, "largest": value.p90}
        for name, value in ranges.items()
    }
