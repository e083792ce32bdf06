"""The scaling law of the user's own text: a ladder of small models is trained, and L(N, D) fitted to their losses."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from steelyard.errors import InputError
from steelyard.measure.training import measure_training
from steelyard.records.estimate import Estimate, estimate
from steelyard.records.training import Event
from steelyard.runtime.train import TrainJob, Watch, load_job, prepare, read_log, train
from steelyard.units import Array

LEAST_POINTS = 7  # two more than the law has parameters
_HUBER_SHARE = 1e-3  # residuals of log loss beyond it count linearly, as in Hoffmann et al.
_BOUNDS = ((-10.0, -5.0, -5.0, 0.02, 0.02), (2.3, 13.8, 13.8, 2.0, 2.0))  # log E, log A, log B, alpha, beta


@dataclass(frozen=True, slots=True, kw_only=True)
class LossPoint:
    """One model of the ladder: its size, what it was trained on, its loss on held-out text."""

    params: float
    tokens: float
    loss_nats: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ScalingLaw:
    """L(N, D) = E + A N^-alpha + B D^-beta, as draws; nats per token of the tokenizer it was measured with."""

    draws: npt.NDArray[np.float64]  # [draws, 5]: E, A, B, alpha, beta; the first one is the best fit
    points: tuple[LossPoint, ...]
    residual_ratio: float  # root mean square of measured over fitted loss, less 1

    @property
    def best(self) -> Mapping[str, float]:
        """The best fit by name."""
        return dict(zip(("E", "A", "B", "alpha", "beta"), map(float, self.draws[0]), strict=True))

    @property
    def ranges(self) -> Mapping[str, Estimate]:
        """Range of each constant. They hang together: predict with the draws, not with these."""
        return {name: estimate(self.draws[:, at]) for at, name in enumerate(self.best)}

    def loss_nats(self, params: float, tokens: float) -> Estimate:
        """Return the loss expected of a model, with its range (nats per token)."""
        return estimate(_law(self.draws.T, params, tokens))


def ladder(
    job: TrainJob,
    sizes: Sequence[str],
    tokens: Sequence[int],
    *,
    on_run: Callable[[str], None] | None = None,
    on_event: Callable[[Event], None] | None = None,
) -> Iterator[LossPoint]:
    """Train a model of every size on every number of tokens, each in a run of its own, and yield their losses.

    The runs share tokenizer and token shards, and end with the learning rate's own last step, as a law asks for. Done
    again, what is finished is read, not trained.

    Args:
        job: What is the same for all; `out` is the folder of the whole ladder, its model and tokens are not used.
        sizes: Models as a job names them, for example "100k".
        tokens: Tokens to train on.
        on_run: Hears the name of every run before it begins.
        on_event: Hears every event of all runs.

    Raises:
        InputError: As `train`, or the ladder has too few steps to fit a law to.
    """
    if len(sizes) * len(tokens) < LEAST_POINTS or len(sizes) < 2 or len(tokens) < 2:
        raise InputError(
            f"{len(sizes)} sizes x {len(tokens)} numbers of tokens; allowed: at least {LEAST_POINTS} runs, of at least "
            "2 sizes and 2 numbers of tokens"
        )
    common = job.model_dump(mode="json", by_alias=True, exclude_none=True, exclude_defaults=True)
    lender: Path | None = None
    for count in sorted(tokens):
        for size in sizes:
            name = f"{size}-{count}"
            if on_run is not None:
                on_run(name)
            changes = {"out": str(job.out / name), "model": size, "limits": {"tokens": count}}
            stated = load_job(None, common | changes | {"evaluate": {"every": 10**9, "sequences": 512}})
            prepare(stated, lender=lender)
            lender = lender or stated.out
            train(stated, Watch(on_event=on_event))
            run = measure_training(read_log(stated.out))
            yield LossPoint(params=run.params, tokens=run.tokens, loss_nats=run.held_out_loss_nats or math.inf)


def fit_scaling_law(points: Sequence[LossPoint], *, draws: int = 200, seed: int = 0) -> ScalingLaw:
    """Return the law fitted to the losses of a ladder, with its draws.

    Huber loss on the logarithm of the loss, from many starts; the draws are fits to losses redrawn with the residuals,
    widened by sqrt(n / (n - 5)) for the five constants fitted.

    Args:
        points: At least seven, of several sizes and numbers of tokens.
        draws: How many fits.
        seed: Of starts and residuals.

    Raises:
        InputError: Too few points, or all of one size or one number of tokens.

    Source: Hoffmann et al., arXiv 2203.15556, section 3.3 and appendix D.2; Besiroglu et al., arXiv 2404.10102.
    """
    params, tokens, losses = (
        np.array([getattr(point, name) for point in points], dtype=np.float64)
        for name in ("params", "tokens", "loss_nats")
    )
    if len(points) < LEAST_POINTS or len(set(params)) < 2 or len(set(tokens)) < 2 or not np.isfinite(losses).all():
        raise InputError(
            f"{len(points)} losses do not fix a law of 5 constants; give at least {LEAST_POINTS}, of at least 2 sizes "
            "and 2 numbers of tokens"
        )
    random = np.random.default_rng(seed)
    starts = random.uniform([-2.0, 0.0, 0.0, 0.1, 0.1], [1.0, 8.0, 8.0, 0.8, 0.8], size=(20, 5))
    best = min((_fit(start, params, tokens, losses) for start in starts), key=lambda found: found[1])[0]
    fitted = _law(_constants(best), params, tokens)
    residuals = np.log(losses / fitted)
    wide = residuals * math.sqrt(len(points) / (len(points) - 5))
    found = [_constants(best)]
    for _ in range(draws - 1):
        redrawn = fitted * np.exp(random.choice(wide, size=len(wide)))
        found.append(_constants(_fit(best, params, tokens, redrawn)[0]))
    return ScalingLaw(
        draws=np.array(found), points=tuple(points), residual_ratio=float(np.sqrt(np.mean((losses / fitted - 1) ** 2)))
    )


def _fit(
    start: npt.NDArray[np.float64],
    params: npt.NDArray[np.float64],
    tokens: npt.NDArray[np.float64],
    losses: npt.NDArray[np.float64],
) -> tuple[npt.NDArray[np.float64], float]:
    """Return the constants (log E, log A, log B, alpha, beta) nearest to losses, and how far they miss."""
    from scipy.optimize import least_squares

    log_n, log_d, log_l = np.log(params), np.log(tokens), np.log(losses)

    def parts(at: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        return np.stack([np.full_like(log_n, at[0]), at[1] - at[3] * log_n, at[2] - at[4] * log_d])

    def miss(at: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        return np.asarray(np.logaddexp.reduce(parts(at), axis=0) - log_l)

    def slope(at: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        terms = parts(at)
        share = np.exp(terms - np.logaddexp.reduce(terms, axis=0))  # of each term in the loss
        return np.stack([*share, -share[1] * log_n, -share[2] * log_d], axis=1)

    found = least_squares(miss, start, jac=slope, bounds=_BOUNDS, loss="huber", f_scale=_HUBER_SHARE, max_nfev=200)
    return found.x, float(found.cost)


def _constants(at: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return np.concatenate([np.exp(at[:3]), at[3:]])


def _law(constants: npt.NDArray[np.float64], params: Array, tokens: Array) -> npt.NDArray[np.float64]:
    E, A, B, alpha, beta = constants
    return np.asarray(E + A * params**-alpha + B * tokens**-beta)
