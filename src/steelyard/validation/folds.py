"""Honest predictions: every family of sources by a fit that never saw it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from steelyard.validation.fit import Fitted, Parameter, Predict, fit, robust_log_sigma
from steelyard.validation.points import Vector, effective_weights, equal_weights


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftOut:
    """Predictions of points whose family the fit did not see [N], and the fits with all and with all but one."""

    log_predicted: Vector
    log_sigma: Vector  # spread of the misses of the *other* families, left out in turn
    whole: Fitted
    without: Mapping[str, Fitted]


def leave_family_out(
    predict: Predict,
    parameters: Sequence[Parameter],
    log_measured: Vector,
    families: Sequence[str],
    *,
    log_scale: float = 0.15,
    family_log_sd: float = 0.0,
) -> LeftOut:
    """Return what fits that leave one family out predict for it.

    Fits start from the priors, not from the fit to all points. A family weighs as much as its rows would if they
    missed independently (`effective_weights`). A family alone is predicted by the priors.
    """
    names = np.asarray(families)
    alike = family_log_sd**2 / (family_log_sd**2 + log_scale**2)

    def fitted(weights: Vector) -> Fitted:
        return fit(
            predict, parameters, log_measured, weights,
            log_scale=log_scale, families=families, family_log_sd=family_log_sd,
        )  # fmt: skip

    whole = fitted(effective_weights(families, alike))
    predicted = np.empty_like(log_measured)
    without: dict[str, Fitted] = {}
    for name in np.unique(names):
        own = names == name
        weights = np.zeros(len(names))
        if own.all():
            without[str(name)] = Fitted(values={p.name: p.value for p in parameters}, log_errors={})
        else:
            weights[~own] = effective_weights(names[~own].tolist(), alike)
            without[str(name)] = fitted(weights)
        predicted[own] = predict(without[str(name)].values)[own]
    return LeftOut(
        log_predicted=predicted, log_sigma=left_out_sigma(log_measured - predicted, names), whole=whole, without=without
    )


def left_out_sigma(log_miss: Vector, families: Vector) -> Vector:
    """Return for each point the spread of misses in the other families, each of which weighs alike [N].

    Example:
        >>> miss = np.array([0.1282, -0.1282, 0.2563, -0.2563, 9.0, 9.0])
        >>> left_out_sigma(miss, np.array(["a", "a", "b", "b", "c", "c"])).round(1).tolist()
        [7.0, 7.0, 7.0, 7.0, 0.2, 0.2]
    """
    sigma = np.empty_like(log_miss)
    names = np.unique(families)
    for name in names:
        own = families == name
        among = ~own if len(names) > 1 else own
        sigma[own] = robust_log_sigma(log_miss[among], equal_weights(families[among].tolist()))
    return sigma
