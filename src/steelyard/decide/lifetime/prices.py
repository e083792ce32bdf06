"""What a token costs to train on and to serve, by size of model: predictions at a few sizes, read between them.

Axes: S sizes, D draws; a price curve is [S, D] and is read at any sizes [G] as [G, D].
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import numpy.typing as npt
from scipy.interpolate import PchipInterpolator

from steelyard import arch, catalog, device, inference, training
from steelyard.compare.draws import Draws
from steelyard.compare.jobs.drawn import drawn_run
from steelyard.decide.lifetime.question import GLOBAL_BATCH_TOKENS, SEQ_TOKENS, ModelQuestion
from steelyard.errors import DoesNotFitError, UnknownError
from steelyard.units import Array

Curve = npt.NDArray[np.float64]
LIKELY_MFU = 0.4  # only a first guess of the number of devices; the prediction decides
MOST_DEVICES = 32_768


@dataclass(frozen=True, kw_only=True)
class TrainingOffer:
    """Training one size on the devices that end it in time; arrays over draws [D]."""

    params: float
    device_id: str
    num_devices: int
    usd_per_token: Curve  # R&D multiplier included
    device_s_per_token: Curve
    wall_s: float  # median, for the tokens it was sized for
    in_time: bool


@dataclass(frozen=True, kw_only=True)
class ServingOffer:
    """Serving one size on its cheapest device, format and replica; arrays over draws [D]."""

    params: float
    device_id: str
    deployment: inference.Deployment
    usd_per_token: Curve  # idle time charged
    device_s_per_token: Curve  # while busy
    limited_by: str
    attention_ratio: float  # model FLOP of a token over 2 params

    @property
    def name(self) -> str:
        return f"{self.deployment.num_devices}x {self.device_id}, {self.deployment.weight_dtype}"


Offer = TypeVar("Offer", TrainingOffer, ServingOffer)


@dataclass(frozen=True, kw_only=True)
class Prices:
    """Both price curves over size, and the offers behind them, smallest size first."""

    training: tuple[TrainingOffer, ...]
    serving: tuple[ServingOffer, ...]
    refused: tuple[str, ...] = ()  # devices and formats that priced nothing, and why

    @property
    def least_params(self) -> float:
        return max(self.training[0].params, self.serving[0].params)

    @property
    def most_params(self) -> float:
        return min(self.training[-1].params, self.serving[-1].params)

    def training_usd_per_token(self, params: Array) -> Curve:
        """Return the price of a trained token at sizes [G] as [G, D]."""
        return between(
            [offer.params for offer in self.training], [offer.usd_per_token for offer in self.training], params
        )

    def serving_usd_per_token(self, params: Array) -> Curve:
        """Return the price of a served token at sizes [G] as [G, D], idle time charged."""
        return between(
            [offer.params for offer in self.serving], [offer.usd_per_token for offer in self.serving], params
        )

    def nearest_training(self, params: float) -> TrainingOffer:
        return min(self.training, key=lambda offer: abs(math.log(offer.params / params)))

    def nearest_serving(self, params: float) -> ServingOffer:
        return min(self.serving, key=lambda offer: abs(math.log(offer.params / params)))


def between(sizes: list[float], values: list[Curve], params: Array) -> Curve:
    """Return a positive curve given at sizes [S] as [S, D] at other sizes [G]: monotone cubic in logarithms."""
    curve = PchipInterpolator(np.log(sizes), np.log(np.stack(values)), axis=0)
    read: Curve = np.exp(curve(np.log(np.atleast_1d(params))))
    return read


def prices(question: ModelQuestion, models: tuple[arch.Model, ...], draws: Draws) -> Prices:
    """Return both price curves over the sizes of `models`.

    Raises:
        DoesNotFitError: Fewer than two sizes can be trained, or served, on what was asked for.
        UnknownError: A device without a price.
    """
    refused: dict[str, str] = {}
    trained: list[TrainingOffer] = []
    served: list[ServingOffer] = []
    for model in models:
        trained += _cheapest(_training_offers(question, model, draws, refused))
        served += _cheapest(_serving_offers(question, model, draws, refused))
    if len(trained) < 2 or len(served) < 2:
        what = "trained" if len(trained) < 2 else "served"
        raise DoesNotFitError(f"too few sizes can be {what}: {'; '.join(refused.values())}")
    return Prices(training=tuple(trained), serving=tuple(served), refused=tuple(dict.fromkeys(refused.values())))


def _cheapest(offers: Iterable[Offer]) -> list[Offer]:
    """Return the offer of the least median price, or nothing."""
    best = min(offers, key=lambda offer: float(np.median(offer.usd_per_token)), default=None)
    return [] if best is None else [best]


def _training_offers(
    question: ModelQuestion, model: arch.Model, draws: Draws, refused: dict[str, str]
) -> Iterator[TrainingOffer]:
    """Yield what training a size costs on each device; one that is in time beats one that is not."""
    offers = []
    for ref in question.devices:
        try:
            offers.append(_train(question, model, device.load(ref), draws))
        except DoesNotFitError as error:
            refused[f"training on {ref}"] = str(error)
    in_time = [offer for offer in offers if offer.in_time]
    yield from in_time or offers


def _train(question: ModelQuestion, model: arch.Model, on: device.Device, draws: Draws) -> TrainingOffer:
    """Return the least power of two of devices that trains a size to the target's loss within the deadline."""
    job = training.Job(model=model, device=on, seq_tokens=SEQ_TOKENS, global_batch_tokens=GLOBAL_BATCH_TOKENS)
    params = float(arch.count_params(model).total_params)
    tokens = tokens_to_target(question, params)
    flop = training.TRAINING_FLOP * params * tokens
    guess = flop / (device.peak_flop_per_s(on, "bf16") * LIKELY_MFU * question.deadline_s)
    least = training.least_devices(model, on, seq_tokens=SEQ_TOKENS)
    count = 2 ** math.ceil(math.log2(min(max(guess, least, 1.0), MOST_DEVICES)))
    while True:
        step = job.step(training.fastest(job, training.search(job, count)))
        run = drawn_run(draws, step, model=model, device=on, tokens=tokens, method="full")
        wall_s = float(np.median(run.wall_s))
        if wall_s <= question.deadline_s or count >= MOST_DEVICES:
            break
        count *= 2
    price = draws.from_sorted("rental", question.rental(on).provider_usd_per_device_s)[:, 0]
    device_s = np.asarray(run.device_s)[:, 0] / tokens
    return TrainingOffer(
        params=params,
        device_id=on.id,
        num_devices=count,
        usd_per_token=device_s * price * question.rd_multiplier,
        device_s_per_token=device_s,
        wall_s=wall_s,
        in_time=wall_s <= question.deadline_s,
    )


def most_tokens_per_param() -> float:
    """Return the longest training that any published law has seen: sizes that need more are not looked at."""
    return _anchor("law-longest-tokens-per-param")


def fitted_tokens_per_param() -> float:
    """Return up to which tokens per parameter the published laws were fitted."""
    return _anchor("law-fitted-tokens-per-param")


def _anchor(name: str) -> float:
    return next(row for row in catalog.table("anchors").rows if row["id"] == name).value("value")


def tokens_to_target(question: ModelQuestion, params: float) -> float:
    """Return the tokens on which a size is priced: those to the target's loss, at most what can be asked for."""
    target = question.target
    loss = training.loss_nats_per_token(target.params, target.tokens)
    most = most_tokens_per_param() * params
    return float(min(training.tokens_for_loss(loss, params, unique_tokens=question.unique), most))


def _serving_offers(
    question: ModelQuestion, model: arch.Model, draws: Draws, refused: dict[str, str]
) -> Iterator[ServingOffer]:
    """Yield every way to serve a size: none where nothing holds it or keeps the objective."""
    sigma = catalog.calibration("inference")["time_residual_sigma"].value
    slower = draws.factor("serving_time", sigma)[:, 0]
    for ref in question.devices:
        on = device.load(ref)
        price = draws.from_sorted("rental", question.rental(on).provider_usd_per_device_s)[:, 0]
        for dtype in question.weight_dtypes:
            try:
                found = inference.deployments(
                    model, on, question.lengths, question.objective, weight_dtype=dtype, time_ratio=slower
                )
            except (DoesNotFitError, UnknownError) as error:
                refused[f"{ref} {dtype}"] = str(error)
                continue
            yield from (_offer(question, model, on, price, layout, capacity) for layout, capacity in found)


def _offer(
    question: ModelQuestion,
    model: arch.Model,
    on: device.Device,
    price: Curve,
    layout: inference.Deployment,
    capacity: inference.Capacity,
) -> ServingOffer:
    params = float(arch.count_params(model).total_params)
    seconds = np.asarray(capacity.device_s_per_request) / question.tokens_per_request
    reached = np.isfinite(seconds)
    seconds = np.where(reached, seconds, seconds[reached].max())  # a draw that misses counts as the worst that meets
    flop = float(arch.flop_per_token(model, question.tokens_per_request, training=False))
    return ServingOffer(
        params=params,
        device_id=on.id,
        deployment=layout,
        usd_per_token=seconds * price * question.peak_to_mean,
        device_s_per_token=seconds,
        limited_by=capacity.limited_by,
        attention_ratio=flop / (2.0 * params),
    )
