"""Speed and memory of many runs as functions of parameters: what a fit varies, and the ranges around it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

from steelyard.training.calibration import Parameters, parameter
from steelyard.validation.fit import Parameter
from steelyard.validation.points import Point, Vector
from steelyard.validation.training.parameters import FIXED
from steelyard.validation.training.parameters import MEMORY as MEMORY_PARAMETERS
from steelyard.validation.training.parameters import SPEED as SPEED_PARAMETERS
from steelyard.validation.training.points import MEMORY, SPEED, TIME_TO_TRAIN, Run
from steelyard.validation.training.predict import Ensemble, ensemble, fitted, log_memory, log_speed, log_time

METRICS = (SPEED, MEMORY, TIME_TO_TRAIN)
FITTED = (SPEED, MEMORY)
_FREE = {SPEED: SPEED_PARAMETERS, MEMORY: MEMORY_PARAMETERS, TIME_TO_TRAIN: ()}
_LOG = {SPEED: log_speed, MEMORY: log_memory, TIME_TO_TRAIN: log_time}
_EXPECTED = {p.name: p.value for p in (*SPEED_PARAMETERS, *MEMORY_PARAMETERS)}
_STEPS = np.array([NormalDist().inv_cdf((number + 0.5) / 100) for number in range(100)])


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """The points of one metric, with all that predicts them."""

    metric: str
    points: tuple[Point, ...]
    at: npt.NDArray[np.int64]  # the run of each point [N]
    everything: Ensemble

    @property
    def free(self) -> tuple[Parameter, ...]:
        return _FREE[self.metric]

    @property
    def log_measured(self) -> Vector:
        logs: Vector = np.log([point.value for point in self.points])
        return logs

    @property
    def families(self) -> list[str]:
        return [point.family for point in self.points]

    def predict(self, values: Mapping[str, float]) -> Vector:
        """Return the logarithm of each prediction, the mean over what its run can mean [N]."""
        logs = self._of_alternatives(self.parameters(values))
        mean: Vector = np.bincount(self.everything.run, logs) / np.bincount(self.everything.run)
        return mean[self.at]

    def parameters(self, values: Mapping[str, float]) -> Parameters:
        """Return the parameters of every alternative, those that `values` leaves out where they are expected."""
        fixed = {name: parameter(name) for name in FIXED}
        return fitted({**fixed, **_EXPECTED, **values}, self.everything.families)

    def quantiles(self, parameters: Parameters, log_sigma: Vector) -> Vector:
        """Return p10, p50 and p90 [3, N]: what a run can mean is alike likely, and each misses by `log_sigma` [N]."""
        logs, runs = self._of_alternatives(parameters), self.everything.run
        found = np.empty((3, len(self.points)))
        for index, run in enumerate(self.at):
            first, last = np.searchsorted(runs, [run, run + 1])
            drawn = logs[first:last, None] + log_sigma[index] * _STEPS
            found[:, index] = np.quantile(drawn, [0.1, 0.5, 0.9])
        result: Vector = np.exp(found)
        return result

    def _of_alternatives(self, parameters: Parameters) -> Vector:
        return _LOG[self.metric](self.everything, parameters)


def tasks(found: Sequence[Run]) -> list[Task]:
    """Return the task of each metric that the runs measure."""
    if not found:
        return []
    everything = ensemble(found)
    listed = []
    for metric in METRICS:
        pairs = [(number, point) for number, run in enumerate(found) for point in run.points if point.metric == metric]
        if pairs:
            numbers, points = zip(*pairs, strict=True)
            listed.append(Task(metric=metric, points=points, at=np.array(numbers), everything=everything))
    return listed
