"""A robust fit of a few positive parameters to logarithms of measured figures, pulled towards what is known before."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from steelyard.errors import InputError
from steelyard.records.estimate import Z90
from steelyard.validation.points import Vector

MAX_FREE_PARAMETERS = 60
"""Of the whole project: with more, a fit describes its rows and predicts no others."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """A parameter above 0. A child is a factor on its parent, and without evidence it stays at 1."""

    name: str
    value: float
    log_sd_ratio: float  # how far it may lie from `value`, as a standard deviation of its logarithm: the prior
    low: float = 1e-12
    high: float = 1e15


@dataclass(frozen=True, slots=True, kw_only=True)
class Fitted:
    """Fitted values with the standard error of their logarithms."""

    values: Mapping[str, float]
    log_errors: Mapping[str, float]


Predict = Callable[[Mapping[str, float]], Vector]
"""Natural logarithm of every prediction, in the order of the points, from the values of the parameters."""


def fit(
    predict: Predict,
    parameters: Sequence[Parameter],
    log_measured: Vector,
    weights: Vector,
    *,
    log_scale: float = 0.15,
    start: Mapping[str, float] | None = None,
    families: Sequence[str] = (),
    family_log_sd: float = 0.0,
) -> Fitted:
    """Return the parameters that minimise a robust sum of squares.

    sum of weights * rho((predicted + offset of the family - measured) / log_scale)
    + sum of ((ln p - ln value) / log_sd_ratio)^2 + sum of (offset / family_log_sd)^2,
    rho(x) = ln(1 + x^2), the Cauchy loss: a miss counts by its square up to about `log_scale`, and hardly more beyond.
    Since that has several minima, it is found first with 4 times the scale, then with the scale itself; only so where
    it starts near one.

    Args:
        predict: Logarithms of the predictions.
        parameters: What is free; at most `MAX_FREE_PARAMETERS`.
        log_measured: Logarithms of the measured figures [N].
        weights: Of the points [N], 0 for those left out.
        log_scale: Size of a usual miss.
        start: Where to begin, for a fit near one known; the priors stay.
        families: Of the points [N], where each family of sources may be off as a whole.
        family_log_sd: Spread of these offsets. They keep one source's habit from bending the parameters and are then
            forgotten: no prediction uses them.

    Raises:
        InputError: Nothing to fit to, or too many parameters.

    Example:
        A factor of 2 seen in 50 points, one of them wild:

        >>> truth = np.full(50, np.log(2.0)); truth[0] = 9.0
        >>> free = [Parameter(name="factor", value=1, log_sd_ratio=1)]
        >>> found = fit(lambda p: np.full(50, np.log(p["factor"])), free, truth, np.ones(50))
        >>> 1.98 < found.values["factor"] < 2.02
        True
    """
    from scipy.optimize import least_squares

    if len(parameters) > MAX_FREE_PARAMETERS:
        raise InputError(f"{len(parameters)} free parameters, at most {MAX_FREE_PARAMETERS} are allowed")
    used, names = weights > 0, [p.name for p in parameters]
    if not used.any():
        raise InputError("no measured figure to fit to")
    known, member = np.unique(np.asarray(families), return_inverse=True) if family_log_sd else (np.zeros(0), None)
    prior = np.log([p.value for p in parameters])
    sd = np.concatenate([[p.log_sd_ratio for p in parameters], np.full(len(known), family_log_sd)])
    low, high = np.log([p.low for p in parameters]), np.log([p.high for p in parameters])
    bounds = np.concatenate([low, np.full(len(known), -9.0)]), np.concatenate([high, np.full(len(known), 9.0)])
    centre = np.concatenate([prior, np.zeros(len(known))])

    def residuals(theta: Vector, scale: float) -> Vector:
        guess = predict(dict(zip(names, np.exp(theta[: len(names)]).tolist(), strict=True)))
        offset = theta[len(names) :][member] if member is not None else 0.0
        miss = (guess + offset - log_measured)[used] / scale
        robust = np.sign(miss) * np.sqrt(np.log1p(miss**2))
        return np.concatenate([np.sqrt(weights[used]) * robust, (theta - centre) / sd])

    theta = np.concatenate([np.log([(start or {}).get(p.name, p.value) for p in parameters]), np.zeros(len(known))])
    for scale in (log_scale,) if start else (4.0 * log_scale, log_scale):
        inside = np.clip(theta, bounds[0] + 1e-9, bounds[1] - 1e-9)
        found = least_squares(residuals, inside, bounds=bounds, xtol=1e-4, ftol=1e-5, max_nfev=60, args=(scale,))
        theta = found.x
    errors = _standard_errors(found.jac, found.fun, int(used.sum()))
    return Fitted(
        values=dict(zip(names, np.exp(theta[: len(names)]).tolist(), strict=True)),
        log_errors=dict(zip(names, errors[: len(names)], strict=True)),
    )


def _standard_errors(jacobian: Vector, residual: Vector, count: int) -> list[float]:
    """Return the standard errors of the parameters' logarithms: the spread of the first `count` residuals, the priors.

    Residuals are taken as independent, which rows of one source are not: read the errors as a lower bound.
    """
    spread = max(float(np.mean(residual[:count] ** 2)), 1e-6)
    information = jacobian[:count].T @ jacobian[:count] / spread + jacobian[count:].T @ jacobian[count:]
    return [float(value) for value in np.sqrt(np.maximum(np.diag(np.linalg.pinv(information)), 0.0))]


def robust_log_sigma(log_miss: Vector, weights: Vector) -> float:
    """Return the sigma of the log-normal around 1 whose 80% range holds 80% of the (weighted) misses.

    Example:
        >>> misses = np.linspace(-1.0, 1.0, 201)
        >>> round(robust_log_sigma(misses, np.ones(201)), 3)  # 80% of them lie within 0.8, which is 1.2816 sigma
        0.624
    """
    size = np.abs(log_miss)
    order = np.argsort(size)
    share = np.cumsum(weights[order]) / np.sum(weights)
    at = int(np.searchsorted(share, 0.8))
    return float(size[order][min(at, len(size) - 1)] / Z90)
