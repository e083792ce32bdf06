"""One comparison made concrete: the scenario with names resolved, its demand by month, its draws.

Arrays are [D, M]: D draws (or loads of a break-even curve), M months. A [D, 1] array is one value a draw.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field
from datetime import date
from functools import cached_property
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from steelyard import arch, catalog, device, economics, inference
from steelyard.compare.draws import Draw, Draws
from steelyard.compare.kept import KEPT
from steelyard.compare.quality import Score, score_of
from steelyard.compare.scenario import Scenario, StatedLengths, TraceLengths
from steelyard.records.estimate import Z90
from steelyard.records.figure import Figure
from steelyard.records.workload import Lengths, Objective, Workload
from steelyard.units import DAYS_PER_MONTH, SECONDS_PER_MONTH

T = TypeVar("T")
DEFAULT_WORKLOAD = "chat"  # whose arrival pattern stands in where only lengths are stated


@dataclass(frozen=True, kw_only=True)
class Case:
    """What every route and factor reads. `load_ratio` [D, 1] scales the demand: 1, or the loads of a curve."""

    scenario: Scenario
    draws: Draws
    load_ratio: Draw
    workload: Workload
    lengths: Lengths
    objective: Objective
    simulated: bool = False  # fleets are sized by simulated capacity surfaces, else by formula
    only: Mapping[str, frozenset[str]] | None = None  # route -> the options to evaluate; None: all of them
    memory: dict[Hashable, Any] = field(default_factory=dict)  # what all cases of one scenario share, see `once`

    @property
    def months(self) -> int:
        return self.scenario.horizon_months

    @property
    def today(self) -> date:
        """Return the day whose prices count: as stated, else that of the newest API price in the catalogue."""
        return self.scenario.as_of or max(row.as_of for row in catalog.table("api_prices").rows)

    @property
    def horizon_s(self) -> float:
        return self.months * SECONDS_PER_MONTH

    @cached_property
    def growth_per_month_ratio(self) -> Draw:
        demand = self.scenario.demand
        drawn = self.draws.shifted(
            "growth", demand.growth_low_ratio, demand.growth_per_month_ratio, demand.growth_high_ratio
        )
        return np.maximum(drawn, -0.99)

    @cached_property
    def requests(self) -> Draw:
        """Requests in each month [D, M]."""
        first = self.scenario.demand.requests_per_day * DAYS_PER_MONTH * self.load_ratio
        return first * (1 + self.growth_per_month_ratio) ** np.arange(self.months)

    @cached_property
    def mean_rate_per_s(self) -> Draw:
        return self.requests / SECONDS_PER_MONTH

    @property
    def peak_to_mean_ratio(self) -> float:
        stated = self.scenario.demand.peak_to_mean_ratio
        return self.workload.peak_to_mean_ratio if stated is None else stated

    @cached_property
    def peak_rate_per_s(self) -> Draw:
        """Rate that a fleet is sized for [D, M]: the peak of what must be answered at once, and at least the mean."""
        at_once = 1 - self.scenario.demand.deferrable_ratio
        return self.mean_rate_per_s * max(at_once * self.peak_to_mean_ratio, 1.0)

    @property
    def hourly_shape_ratio(self) -> Draw:
        """Rate in each hour of a day over the mean [24], with the stated peak-to-mean ratio.

        What can wait fills the hours in which least is asked.
        """
        return self.once(("hourly shape",), self._hourly_shape_ratio)

    def _hourly_shape_ratio(self) -> Draw:
        shape = np.asarray(self.workload.hourly_shape_ratio, dtype=np.float64)
        if not shape.size:
            shape = np.exp(np.sin(2 * np.pi * np.arange(24) / 24))  # none published: one smooth wave a day
        waiting = self.scenario.demand.deferrable_ratio
        return filled((1 - waiting) * sharpened(shape, self.peak_to_mean_ratio), waiting)

    @cached_property
    def api_price_ratio(self) -> Draw:
        """API price of a quality in each month over today's [D, M]: buyers move to what gets cheaper."""
        fall = economics.price_decline()
        year = self.draws.between("api_price", fall.forward_low_ratio, fall.forward_ratio, fall.forward_high_ratio)
        return year ** np.minimum(np.arange(self.months) / 12, economics.RECENT_YEARS)  # no further than it was seen

    @cached_property
    def serving_time_ratio(self) -> Draw:
        """True over predicted serving time [D + 3, 1]: the scenario's draws, then median, p10 and p90 of the residual.

        All are asked of the inference room at once, and whatever the load: a replica's capacity does not depend on it.
        """
        sigma = catalog.calibration("inference")["time_residual_sigma"].value
        drawn = Draws(self.scenario.draws, self.scenario.seed).factor("serving_time", sigma)
        return np.vstack([drawn, np.exp(sigma * np.array([[0.0], [-Z90], [Z90]]))])

    @cached_property
    def serving_rows(self) -> npt.NDArray[np.int64]:
        """Which rows of `serving_time_ratio` are those of this case [D]: those with the nearest score."""
        scores = np.log(self.draws.factor("serving_time", 1.0)[:, 0])
        if self.draws.seed is not None:
            return np.arange(self.draws.count)
        drawn = Draws(self.scenario.draws, self.scenario.seed).normal("serving_time")[:, 0]
        known = np.concatenate([drawn, [0.0, -Z90, Z90]])
        order = np.argsort(known, kind="stable")
        right = np.searchsorted(known[order], scores).clip(1, len(known) - 1)
        left_nearer = scores - known[order[right - 1]] < known[order[right]] - scores
        return order[np.where(left_nearer, right - 1, right)]

    @cached_property
    def rental_price_ratio(self) -> Draw:
        """On-demand rental price in each month over today's [D, M]."""
        return self.assumed("rental_price_year") ** (np.arange(self.months) / 12)

    def drawn(self, name: str, figure: Figure) -> Draw:
        """Return draws [D, 1] of a figure within its own range; a figure without one is a point."""
        return self.once(("drawn", name, figure, self.draws), lambda: self.draws.figure(name, figure))

    def of_draws(self, name: str, find: Callable[[], Figure]) -> Draw:
        """Return draws [D, 1] of a figure that is looked up and drawn once for all who ask."""
        return self.once((name, self.draws), lambda: self.drawn(name, self.once(("figure", name), find)))

    def assumed(self, name: str) -> Draw:
        """Return draws [D, 1] of an assumption in its range: the user's own, else that of the compare calibration."""
        own = self.scenario.assumptions.get(name)
        if own is not None:
            return self.draws.between(name, own.range[0], own.value, own.range[1])
        return self.of_draws(name, lambda: self.calibration("compare")[name])

    def stated(self, value: float) -> Draw:
        """Return a value that the user stated, as an array that broadcasts with draws."""
        return np.full((1, 1), value)

    def wants(self, route: str, option: str) -> bool:
        """Tell whether an option is to be evaluated."""
        return self.only is None or option in self.only.get(route, ())

    def wanting(self, only: Mapping[str, frozenset[str]]) -> Case:
        """Return the same case with these options of each route and no others."""
        return dataclasses.replace(self, only=only)

    def at_loads(self, load_ratio: Draw) -> Case:
        """Return the median case at each of several loads: the same routes, with loads in place of draws."""
        loads = np.asarray(load_ratio, dtype=np.float64).reshape(-1, 1)
        return dataclasses.replace(self, draws=Draws(len(loads), None), load_ratio=loads)

    def pinned_at(self, scores: Mapping[str, Draw], load_ratio: Draw) -> Case:
        """Return the median case in as many rows as there are loads [R, 1], some inputs at scores of their own [R, 1].

        Scores are standard normal: 0 is an input's median, -Z90 its p10, Z90 its p90. Of `serving_time` those of the
        draws and these three are known; the nearest counts.
        """
        return dataclasses.replace(self, draws=Draws(len(load_ratio), None, scores), load_ratio=load_ratio)

    def scaled(self, factor: float) -> Case:
        """Return the same case, draw by draw, with the demand multiplied."""
        return dataclasses.replace(self, load_ratio=self.load_ratio * factor)

    def once(self, key: Hashable, make: Callable[[], T]) -> T:
        """Return what `make` returned the first time for this key, in any case of the scenario."""
        if key not in self.memory:
            self.memory[key] = make()
        made: T = self.memory[key]
        return made

    def calibration(self, name: str) -> Mapping[str, Figure]:
        """Return the figures of one calibration, as `catalog.calibration`."""
        return self.once(("calibration", name), lambda: catalog.calibration(name))

    @property
    def mean_tokens(self) -> tuple[float, float]:
        """Tokens of a mean prompt and of a mean answer."""
        return self.once(("means",), lambda: (self.lengths.mean_isl_tokens, self.lengths.mean_osl_tokens))

    def kept(self, key: Hashable, make: Callable[[], T]) -> T:
        """Return what `make` returned for an equal key in any scenario of this process (see `Kept.get`)."""
        return KEPT.get(key, make)

    @property
    def asked(self) -> Hashable:
        """Everything that decides what a request is: the key under which capacities are kept."""
        return self.once(("asked",), lambda: (*_content(self.lengths), self.objective))

    def model(self, ref: str) -> arch.Model:
        """Return a model by catalogue name or by a path relative to the scenario file."""
        path = self.scenario.base_dir / ref

        def load() -> arch.Model:  # a file goes by the name that the scenario has for it
            return dataclasses.replace(arch.load(path), id=ref) if path.exists() else arch.load(ref)

        return self.once(("model", ref), load)

    def device(self, ref: str) -> device.Device:
        return self.once(("device", ref), lambda: device.load(ref))

    def score(self, *keys: str) -> Score:
        """Return the quality of an option known by any of `keys`."""
        return self.once(("score", keys), lambda: score_of(self.scenario, keys))


def build_case(scenario: Scenario, *, simulated: bool = False) -> Case:
    """Return the case of a scenario, at its draws; `simulated` sizes its fleets by simulation."""
    lengths, workload = _lengths(scenario)
    return Case(
        scenario=scenario,
        draws=Draws(scenario.draws, scenario.seed),
        load_ratio=np.ones((scenario.draws, 1)),
        workload=workload,
        lengths=dataclasses.replace(lengths, cached_input_ratio=scenario.demand.cached_input_ratio),
        objective=scenario.objective.to_objective(),
        simulated=simulated,
    )


def sharpened(shape: Draw, peak_to_mean_ratio: float) -> Draw:
    """Return a daily shape raised to the power that gives it a peak-to-mean ratio; its mean is 1.

    A ratio beyond that of a single hour carrying the whole day is cut to it.
    """
    logs = np.log(np.maximum(shape, 1e-9) / shape.max())
    low, high = 0.0, 1e3
    for _ in range(60):  # the ratio 1 / mean rises with the power
        power = (low + high) / 2
        low, high = (power, high) if 1 / np.exp(power * logs).mean() < peak_to_mean_ratio else (low, power)
    sharp: Draw = np.exp(low * logs)
    sharp /= sharp.mean()
    return sharp


def filled(shape: Draw, more: float) -> Draw:
    """Return a daily shape raised to one level in its lowest hours, so that its mean grows by `more`.

    Example:
        >>> filled(np.array([0.2, 0.8, 1.4]), 0.2).round(9).tolist()
        [0.8, 0.8, 1.4]
    """
    low, high = shape.min(), shape.max() + more
    for _ in range(60):
        level = (low + high) / 2
        low, high = (level, high) if np.maximum(shape, level).mean() < shape.mean() + more else (low, level)
    result: Draw = np.maximum(shape, low)
    return result


def _lengths(scenario: Scenario) -> tuple[Lengths, Workload]:
    stated = scenario.demand.lengths
    if isinstance(stated, StatedLengths):
        together = None if stated.joint_shares is None else stated.joint_shares.joint_shares()
        isl, osl = stated.isl.model_dump(), stated.osl.model_dump()
        lengths = inference.lengths_from_stated(isl, osl, joint_shares=together)
        return lengths, catalog.workload(DEFAULT_WORKLOAD)
    if isinstance(stated, TraceLengths):
        return inference.lengths_from_trace(scenario.base_dir / stated.trace), catalog.workload(DEFAULT_WORKLOAD)
    workload = catalog.workload(stated)
    return KEPT.get(("lengths", stated), lambda: inference.lengths_from_workload(workload)), workload


def _content(lengths: Lengths) -> tuple[Hashable, ...]:
    arrays = (lengths.isl_tokens, lengths.osl_tokens)
    digests = (hashlib.sha256(np.ascontiguousarray(tokens).tobytes()).digest() for tokens in arrays)
    return (*digests, lengths.cached_input_ratio)
