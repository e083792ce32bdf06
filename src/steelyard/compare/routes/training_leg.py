"""The training inside a route: one run's time, money, energy and loss at the draws, and its repeats."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Literal

import numpy as np

from steelyard import arch, economics, training
from steelyard.compare.case import Case
from steelyard.compare.draws import Draw
from steelyard.compare.jobs.drawn import drawn_run
from steelyard.compare.routes import energy
from steelyard.compare.routes.device_price import COMMITMENT_MONTHS, DevicePrice, device_price
from steelyard.compare.routes.outcome import median
from steelyard.errors import UnknownError
from steelyard.records.term import Term, explain
from steelyard.units import SECONDS_PER_MONTH, format_quantity


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What is to be trained, where and how it is paid."""

    model_ref: str
    device_ref: str
    num_devices: int
    pricing: str
    tokens: float
    seq_tokens: float
    global_batch_tokens: float
    method: str = "full"
    from_nothing: bool = True  # pretraining; else a tuning of what has been trained before
    rd_multiplier: float = 1.0


@dataclass(frozen=True, kw_only=True)
class TrainingRun:
    """One run of a job; draws are [D, 1]."""

    job: Job
    plan: training.Plan
    run: training.Run
    price: DevicePrice
    accountings: economics.Accountings | None  # None: the device has no purchase price
    loss_nats: Draw | None  # None: a fine-tuning, of which no law is known
    energy_j: Draw  # at the facility's meter
    electricity_usd: Draw  # 0 where the rent includes it

    @property
    def rented_usd(self) -> Draw:
        """Return what the devices of the run cost [D, 1]: a commitment to its end, owned ones with electricity."""
        return self.usd_of(1.0)

    def usd_of(self, times: float) -> Draw:
        """Return the same of several runs one after the other [D, 1]; those within one commitment pay it once."""
        term_s = COMMITMENT_MONTHS.get(self.job.pricing, 0) * SECONDS_PER_MONTH
        paid_s = np.maximum(np.asarray(self.run.device_s) * times, self.job.num_devices * term_s)
        result: Draw = paid_s * self.price.usd_per_device_s[:, :1]
        return result + self.electricity_usd * times

    def usd_with_refreshes(self, first: float, again: float, months: tuple[int, ...]) -> tuple[Draw, Draw]:
        """Return what so many runs before the first answer cost [D, 1], and those of each refresh by month [D, M].

        Devices that are committed to are there for the refreshes within the term: its device time is paid once, in the
        month in which it begins.
        """
        term = COMMITMENT_MONTHS.get(self.job.pricing, 0)
        begins, times = [0], [first]
        for month in months:
            if month - begins[-1] < term:
                times[-1] += again
            else:
                begins.append(month)
                times.append(again)
        paid = [self.usd_of(count) for count in times]
        by_month = np.zeros((len(paid[0]), self.price.usd_per_device_s.shape[1]))
        for begin, usd in zip(begins[1:], paid[1:], strict=True):
            by_month[:, begin] += usd[:, 0]
        return paid[0], by_month

    @property
    def description(self) -> str:
        job = self.job
        tokens = format_quantity(job.tokens, "token")
        return f"{job.model_ref}, {tokens} on {job.num_devices} {job.device_ref}, {job.pricing}"

    @property
    def layout_text(self) -> str:
        layout = self.plan.layout
        ways = [
            f"{name}{int(getattr(layout, name))}"
            for name in ("tp", "pp", "dp", "cp", "ep")
            if getattr(layout, name) > 1
        ]
        return " ".join(ways) or "one device"

    def tree(self) -> Term:
        """Return how the rent of the run comes about."""
        return Term(
            label="final run, rented",
            value=median(self.rented_usd),
            unit="usd",
            formula="device time (a commitment to its end) x price + electricity where it is not in the price",
            children=(
                explain(self.run, "device_s"),
                self.price.tree(),
                Term(label="electricity", value=median(self.electricity_usd), unit="usd"),
            ),
        )


def train(case: Case, job: Job) -> TrainingRun:
    """Return one run of a job.

    Raises:
        DoesNotFitError: The model does not fit that many devices in any layout.
        UnknownError: The device has no price of that kind.
    """
    return case.once(("trained", job, case.draws), lambda: _train(case, job))


def _train(case: Case, job: Job) -> TrainingRun:
    model, on = case.model(job.model_ref), case.device(job.device_ref)
    plan = _plan(case, job)
    run = drawn_run(case.draws, plan.step, model=model, device=on, tokens=job.tokens, method=job.method)
    price = device_price(case, job.device_ref, job.pricing)
    facility_j = np.asarray(run.it_energy_j) * energy.pue(case)
    power = facility_j * energy.electricity_usd_per_j(case) if price.powered_by_user else np.zeros((1, 1))
    return TrainingRun(
        job=job,
        plan=plan,
        run=run,
        price=price,
        accountings=_accountings(case, job, run),
        loss_nats=_loss_nats(model, job),
        energy_j=facility_j,
        electricity_usd=power,
    )


def _loss_nats(model: arch.Model, job: Job) -> Draw | None:
    if not job.from_nothing:
        return None
    return np.asarray(training.loss_nats_per_token(arch.count_params(model).active_params, job.tokens))


def _accountings(case: Case, job: Job, run: training.Run) -> economics.Accountings | None:
    try:
        return economics.training_accountings(
            run.device_s,
            run.it_energy_j,
            case.device(job.device_ref).accelerator,
            num_devices=job.num_devices,
            as_of=case.scenario.as_of,
            pue=energy.pue(case),
            usd_per_j=energy.electricity_usd_per_j(case),
        )
    except UnknownError:
        return None


def _plan(case: Case, job: Job) -> training.Plan:
    model, on = case.model(job.model_ref), case.device(job.device_ref)
    return case.kept(
        ("plan", model, on, job.num_devices, job.seq_tokens, job.global_batch_tokens, job.method),
        lambda: training.best_layout(
            model,
            on,
            job.num_devices,
            seq_tokens=job.seq_tokens,
            global_batch_tokens=job.global_batch_tokens,
            method=job.method,
        ),
    )


def least_devices(case: Case, job: Job) -> int:
    """Return the fewest devices whose memory holds the training of the job."""
    return training.least_devices(
        case.model(job.model_ref), case.device(job.device_ref), seq_tokens=job.seq_tokens, method=job.method
    )


def scaling(case: Case, job: Job, growth: float, mode: Literal["weak", "strong"]) -> training.Scaling:
    """Return the job on its devices and on `growth` times as many: weak grows the batch with them, strong keeps it."""
    larger = dataclasses.replace(
        job,
        num_devices=int(job.num_devices * growth),
        global_batch_tokens=job.global_batch_tokens * (growth if mode == "weak" else 1.0),
    )
    return training.scaling_of([_plan(case, job), _plan(case, larger)])


def refresh_months(case: Case, every_months: int | None) -> tuple[int, ...]:
    """Return the months (0 = the first) in which the training is repeated within the horizon."""
    return tuple(range(every_months, case.months, every_months)) if every_months else ()


def in_months(case: Case, usd: Draw, months: tuple[int, ...]) -> Draw:
    """Return a cost that falls due in some months, by month [D, M]."""
    calendar = np.zeros((1, case.months))
    calendar[:, list(months)] = 1.0
    result: Draw = usd * calendar
    return result
