"""One deployment under one load: latency, throughput, memory, energy at the meter, money; with ranges."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from steelyard import catalog, economics, inference
from steelyard.compare.cited import cited, single, term_names
from steelyard.compare.draws import Draws
from steelyard.compare.result import Quantity
from steelyard.compare.serving.question import ServingQuestion
from steelyard.errors import InputError, UnknownError
from steelyard.inference import memory as serving_memory
from steelyard.records.estimate import estimate
from steelyard.records.term import Term, explain
from steelyard.records.workload import Lengths
from steelyard.units import Array

_ANSWERED_TOLERANCE = 1e-3  # of the rate that comes


@dataclass(frozen=True, kw_only=True)
class ServingPrediction:
    """What is predicted: `median` is the middle case, `drawn` holds the draws [D, 1]; both None where nothing fits."""

    question: ServingQuestion
    memory: inference.ServingMemory
    median: inference.UnderLoad | None
    drawn: inference.UnderLoad | None
    ttft_s: Array | None  # with a residual of its own [D, 1]
    rental: economics.RentalPrice | None  # of a device; None where it has no price, or nothing fits
    usd_per_output_token: Array | None
    pue_ratio: Array
    time_ratio: Array  # true over predicted step time [D, 1]
    unpriced: tuple[str, ...]
    figure_sources: tuple[str, ...]  # of the figures that no tree holds: calibration, rent, PUE

    @property
    def fits(self) -> bool:
        return self.median is not None

    @property
    def has_tpot(self) -> bool:
        """Whether a second token follows the first."""
        return self.question.osl_tokens > 1

    @property
    def overloaded(self) -> npt.NDArray[np.bool_]:
        """In which draws [D, 1] requests come faster than they are answered; in none of a closed loop."""
        rate = self.question.request_rate_per_s
        if self.drawn is None or rate is None:
            return np.zeros((1, 1), dtype=np.bool_)
        return np.asarray(self.drawn.request_rate_per_s) < rate * (1.0 - _ANSWERED_TOLERANCE)

    def quantities(self) -> Iterator[Quantity]:
        """Yield the results with their ranges, in the order a reader wants them."""
        if self.drawn is None:
            return
        found, osl = self.drawn, self.question.osl_tokens
        ttft = np.where(self.overloaded, np.inf, np.asarray(self.ttft_s))  # the queue grows for as long as it comes
        e2e = ttft + (osl - 1.0) * np.asarray(found.tpot_s)
        speed = np.asarray(found.output_tokens_per_s)
        devices, hosts = (np.asarray(getattr(found, name)) / speed for name in ("device_power_w", "host_power_w"))
        facility = (devices + hosts) * (np.asarray(self.pue_ratio) - 1.0)
        yield _quantity("TTFT, mean", ttft, "s")
        yield _quantity("TPOT, mean", found.tpot_s if self.has_tpot else None, "s", "none")
        yield _quantity("end to end, mean", e2e, "s")
        yield _quantity("output throughput", speed, "token_per_s")
        yield _quantity("output throughput of a device", found.output_tokens_per_s_per_device, "token_per_s")
        yield _quantity("requests answered", found.request_rate_per_s, "request_per_s")
        yield _quantity("sequences decoding", found.batch, "count")
        yield _quantity("energy per output token: devices", devices, "j_per_token")
        yield _quantity("energy per output token: their hosts", hosts, "j_per_token")
        yield _quantity("energy per output token: cooling and supply (PUE)", facility, "j_per_token")
        yield _quantity("rent per output token", self.usd_per_output_token, "usd_per_token", "unpriced")

    def trees(self) -> dict[str, Term]:
        """Return the trees of terms behind the result, of the middle case."""
        found = {"memory": explain(self.memory)}
        if self.median is not None:
            names = ("ttft_s", "tpot_s", "output_tokens_per_s", "device_j_per_output_token")
            found |= {name: explain(self.median, name) for name in names}
        return found

    @property
    def warnings(self) -> tuple[str, ...]:
        return (
            *self.question.model.warnings,
            *inference.engine_notes(self.question.serving_engine),
            *self.unpriced,
        )

    @property
    def sources(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys([*cited(self.trees().values()), *self.figure_sources]))

    def to_dict(self) -> dict[str, Any]:
        """Return the result as plain values in SI."""
        held = {name: float(np.max(getattr(self.memory, name))) for name in term_names(self.memory)}
        found: dict[str, Any] = {
            "num_devices": self.question.deployment.num_devices,
            "fits": self.fits,
            "overloaded_ratio": float(self.overloaded.mean()),
            "memory": held,
            "load": {item.label: item.to_dict() for item in self.quantities()},
        }
        if self.median is not None:
            for name in ("decode_step", "prompt_step"):
                record = getattr(self.median, name)
                found[name] = {part: float(np.max(getattr(record, part))) for part in term_names(record)}
        return found


def predict_serving(question: ServingQuestion) -> ServingPrediction:
    """Return what one deployment gives under one load, with memory, energy and money.

    Ranges are the same function at seeded draws of the residuals of step time and of TTFT, of prices and of PUE.

    Raises:
        InputError: A layout or a load that cannot be, a request beyond the model's context.
        UnknownError: A model, device, engine, region or format that the catalogue does not know.

    Example:
        >>> found = predict_serving(ServingQuestion(model_ref="llama-3.1-8b", device_ref="h100", isl_tokens=1000,
        ...                         osl_tokens=200, users=16))
        >>> found.fits, found.drawn.tpot_s.shape
        (True, (1000, 1))
    """
    _require_context(question)
    lengths = Lengths(isl_tokens=np.array([question.isl_tokens]), osl_tokens=np.array([question.osl_tokens]))
    held = serving_memory(question.model, question.device, question.deployment, lengths, engine=question.serving_engine)
    draws = question.drawn
    pue = draws.figure("pue", economics.pue("hyperscaler"))
    fits = float(np.max(held.max_sequences)) >= 1.0
    if not fits:
        return ServingPrediction(
            question=question, memory=held, median=None, drawn=None, ttft_s=None, rental=None,
            usd_per_output_token=None, pue_ratio=pue, time_ratio=1.0, unpriced=(), figure_sources=(),
        )  # fmt: skip
    fitted = catalog.calibration("inference")
    engine = question.serving_engine
    sigma = inference.time_residual_sigma(question.model, question.device, engine.kernels)
    time = draws.factor("serving_time", sigma)
    median, drawn = _at(question, 1.0), _at(question, time)
    wait = draws.factor("serving_ttft", float(np.max(median.ttft_log_sd_ratio)))
    rental, unpriced = _rental(question)
    figures = [*fitted.values(), economics.pue("hyperscaler")]
    rented = () if rental is None else rental.sources
    return ServingPrediction(
        question=question,
        memory=held,
        median=median,
        drawn=drawn,
        ttft_s=np.asarray(drawn.ttft_s) * wait,
        rental=rental,
        usd_per_output_token=None if rental is None else _rent(rental, draws, drawn),
        pue_ratio=pue,
        time_ratio=time,
        unpriced=unpriced,
        figure_sources=tuple(dict.fromkeys([*single(figure.source for figure in figures), *rented])),
    )


def _require_context(question: ServingQuestion) -> None:
    """Raise where a request is longer than the model's context."""
    tokens, limit = question.isl_tokens + question.osl_tokens, question.model.max_context_tokens
    if tokens > limit:
        raise InputError(
            f"lengths: {tokens:,.0f} tokens of prompt and answer are longer than the {limit:,} tokens of context of "
            f"{question.model.id}; choose another model or shorter requests"
        )


def _at(question: ServingQuestion, time_ratio: Array) -> inference.UnderLoad:
    return question.met(users=question.users, request_rate_per_s=question.request_rate_per_s, time_ratio=time_ratio)


def _rental(question: ServingQuestion) -> tuple[economics.RentalPrice | None, tuple[str, ...]]:
    """Return what a device costs, or None with the reason."""
    try:
        return question.rental, ()
    except UnknownError as error:
        return None, (str(error),)


def _rent(rental: economics.RentalPrice, draws: Draws, drawn: inference.UnderLoad) -> Array:
    """Return the rent per output token [D, 1]."""
    price = draws.from_sorted("rental", rental.provider_usd_per_device_s)
    return np.asarray(drawn.num_devices * price / np.asarray(drawn.output_tokens_per_s))


def _quantity(label: str, draws: Array | None, unit: str, note: str = "") -> Quantity:
    """Return a quantity with its range; where there are no draws, the note says why."""
    if draws is None:
        return Quantity(label=label, value=None, unit=unit, evidence="predicted", note=note)
    return Quantity(label=label, value=estimate(draws), unit=unit, evidence="predicted")
