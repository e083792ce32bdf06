"""The sliders and choices of the page: where each one stands in a scenario, its range, and the unit it is shown in."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from steelyard import catalog, economics
from steelyard.compare.questions import mean_lengths, peak_to_mean
from steelyard.compare.scenario import Scenario
from steelyard.errors import InputError, SteelyardError, unknown
from steelyard.records.spec import shown
from steelyard.units import parse_unit
from steelyard.web.choices import CHOICES

Document = dict[str, Any]
Value = float | str | list[str] | None
Read = Callable[[Scenario], Value]
Write = Callable[[Document, Any, Scenario], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Control:
    """One input: `read` finds its value in a scenario (None: it does not apply), `write` puts one into its document."""

    id: str
    group: str
    label: str
    kind: Literal["slider", "choice", "several"]
    read: Read
    write: Write
    low: float = 0.0
    high: float = 1.0
    step: int | float = 0  # 0: continuous; in the unit of the control
    log: bool = False
    unit: str = ""
    choices: str = ""  # name of the list of choices
    unlimited: bool = False  # the upper end means "no limit"
    span: Callable[[Scenario], tuple[float, float]] | None = None  # ends that depend on the scenario

    def ends(self, scenario: Scenario) -> tuple[float, float]:
        """Return the least and the largest value it takes."""
        return self.span(scenario) if self.span else (self.low, self.high)

    def to_dict(self) -> dict[str, Any]:
        names = ("id", "group", "label", "kind", "low", "high", "step", "log", "unit", "choices", "unlimited")
        return {name: getattr(self, name) for name in names}


def controls() -> dict[str, Control]:
    """Return the controls by id, in the order of the page."""
    return {control.id: control for control in _CONTROLS}


def values(scenario: Scenario) -> dict[str, dict[str, Any]]:
    """Return value and ends of each control that applies, in its unit."""
    found = {}
    for control in _CONTROLS:
        value = control.read(scenario)
        if value is not None:
            low, high = control.ends(scenario)
            found[control.id] = {"value": value, "low": low, "high": high}
    return found


def changed(scenario: Scenario, changes: Any, *, models: Collection[str]) -> Document:
    """Return the document of a scenario with controls moved.

    Args:
        scenario: As stated.
        changes: Control id -> value in the control's unit.
        models: Names of pasted models, which a model may be chosen from beside the catalogue's.

    Raises:
        InputError: No such control, or a value that it does not take.
    """
    if not isinstance(changes, Mapping):
        raise InputError("set: allowed: the controls moved, with their values")
    known, document = controls(), copy.deepcopy(scenario.to_dict())
    for name, value in changes.items():
        if name not in known:
            raise InputError(unknown("control", str(name), known))
        control = known[name]
        if control.read(scenario) is None:
            raise InputError(f"{control.label}: this scenario has no such part")
        control.write(document, _checked(control, value, scenario, models), scenario)
    return document


def _checked(control: Control, value: Any, scenario: Scenario, models: Collection[str]) -> Any:
    if control.kind == "slider":
        low, high = control.ends(scenario)
        is_number = isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
        if not is_number or not low <= value <= high:
            ends = f"{low:g} to {high:g} {control.unit}".rstrip()
            raise InputError(f"{control.label}: {shown(value)} is out of range; allowed: {ends}")
        return float(value)
    known = {name for name, _ in CHOICES[control.choices]()} | set(models)
    chosen = value if control.kind == "several" else [value]
    if not isinstance(chosen, list) or not chosen or not all(isinstance(name, str) for name in chosen):
        raise InputError(f"{control.label}: {shown(value)}; allowed: at least one name of the list")
    for name in chosen:
        if name not in known:
            raise InputError(unknown(control.label, name, known))
    return value


def _at(path: str, unit: str = "") -> tuple[Read, Write]:
    """Return how a number at a path of the document is read and written in a unit."""
    steps, factor = path.split("."), parse_unit(unit)[1] if unit else 1.0

    def read(scenario: Scenario) -> Value:
        node: Any = scenario.to_dict()
        for step in steps:
            node = node.get(step) if isinstance(node, dict) else None
        return node / factor if isinstance(node, (int, float)) else node

    def write(document: Document, value: Any, _scenario: Scenario) -> None:
        node = document
        for step in steps[:-1]:
            node = node.setdefault(step, {})
        node[steps[-1]] = value * factor if isinstance(value, float) else value

    return read, write


def _whole(
    pair: tuple[Read, Write],
) -> tuple[Read, Write]:
    read, write = pair
    return read, lambda document, value, scenario: write(document, round(value), scenario)


def _slider(
    name: str,
    group: str,
    label: str,
    pair: tuple[Read, Write],
    **shape: Any,
) -> Control:
    return Control(id=name, group=group, label=label, kind="slider", read=pair[0], write=pair[1], **shape)


def _choice(
    name: str,
    group: str,
    label: str,
    pair: tuple[Read, Write],
    choices: str,
    kind: Literal["choice", "several"] = "choice",
) -> Control:
    return Control(id=name, group=group, label=label, kind=kind, read=pair[0], write=pair[1], choices=choices)


def _growth(document: Document, value: float, scenario: Scenario) -> None:
    """Move the growth, and the range around it as it is."""
    ratio, demand = value / 100, scenario.demand
    document["demand"]["growth_per_month"] = ratio
    if demand.growth_range:
        around = (demand.growth_low_ratio, demand.growth_high_ratio)
        document["demand"]["growth_range"] = [
            min(max(ratio + end - demand.growth_per_month_ratio, -0.5), 1.0) for end in around
        ]


def _preset(scenario: Scenario) -> str:
    lengths = scenario.demand.lengths
    return lengths if isinstance(lengths, str) else "chat"


def _lengths(scenario: Scenario) -> Value:
    return scenario.demand.lengths if isinstance(scenario.demand.lengths, str) else "own"


def _write_lengths(document: Document, value: str, _scenario: Scenario) -> None:
    if value != "own":
        document["demand"]["lengths"] = value


def _mean(scenario: Scenario, side: Literal["isl", "osl"]) -> Value:
    mean = mean_lengths(scenario)[0 if side == "isl" else 1]
    return None if math.isnan(mean) else mean


def _write_mean(side: Literal["isl", "osl"]) -> Write:
    def write(document: Document, value: float, scenario: Scenario) -> None:
        means = {name: {"mean": _mean(scenario, name)} for name in ("isl", "osl")}
        held = document["demand"]["lengths"]
        own = held if isinstance(held, dict) and "isl" in held else means
        document["demand"]["lengths"] = {**own, side: {"mean": round(value)}}

    return write


def _limit(metric: str, unit: str, most: float) -> tuple[Read, Write]:
    """Return how a latency limit is read and written; at its upper end there is none."""
    factor = parse_unit(unit)[1]

    def read(scenario: Scenario) -> Value:
        limit = getattr(scenario.objective, metric)
        return most if limit is None else min(limit.limit_s / factor, most)

    def write(document: Document, value: float, _scenario: Scenario) -> None:
        held = document.setdefault("objective", {})
        if value >= most:
            held.pop(metric, None)
        else:
            held[metric] = {"percentile": 95.0, **held.get(metric, {}), "limit": value * factor}

    return read, write


def _first_api(scenario: Scenario) -> str | None:
    route = scenario.routes.api
    return route.options[0] if route else None


def _api_price(side: Literal["input", "output"]) -> tuple[Read, Write]:
    """Return how the price of the first API option is read and written; what is written is a contract."""

    def now(scenario: Scenario) -> dict[str, float] | None:
        name = _first_api(scenario)
        if name is None:
            return None
        own = scenario.prices.api.get(name)
        if own is not None:
            return {"input": own.input_usd_per_token, "output": own.output_usd_per_token}
        listed = economics.api_price(name)
        return {"input": listed.input_usd_per_token, "output": listed.output_usd_per_token}

    def read(scenario: Scenario) -> Value:
        found = now(scenario)
        return None if found is None else found[side] * 1e6

    def write(document: Document, value: float, scenario: Scenario) -> None:
        held = document["prices"].setdefault("api", {})
        name = _first_api(scenario)
        held[name] = {**(held.get(name) or now(scenario) or {}), side: value / 1e6}

    return read, write


def _rental() -> tuple[Read, Write]:
    """Return how the price of the first device served on, by its first pricing, is read and written."""

    def named(scenario: Scenario) -> tuple[str, str] | None:
        serve = scenario.routes.serve
        return (serve.devices[0], serve.pricing[0]) if serve and serve.pricing[0] != "owned" else None

    def read(scenario: Scenario) -> Value:
        found = named(scenario)
        if found is None:
            return None
        stated = scenario.prices.devices.get(found[0], {}).get(found[1])
        try:
            price = stated if stated is not None else economics.rental_price(*found).usd_per_device_s
        except SteelyardError:
            return None
        return price * 3600.0

    def write(document: Document, value: float, scenario: Scenario) -> None:
        found = named(scenario)
        if found is not None:
            document["prices"].setdefault("devices", {}).setdefault(found[0], {})[found[1]] = value / 3600.0

    return read, write


def _electricity(scenario: Scenario) -> Value:
    stated = scenario.prices.electricity_usd_per_j
    try:
        price = economics.electricity_price(scenario.region).value if stated is None else stated
    except SteelyardError:
        return None
    return price * 3.6e6


def _model(document: Document, value: str, _scenario: Scenario) -> None:
    document["model"] = value
    if "serve" in document["routes"]:
        document["routes"]["serve"].pop("model", None)


def _served(scenario: Scenario) -> Value:
    serve = scenario.routes.serve
    return (serve.model if serve else None) or scenario.model


def _scores(scenario: Scenario) -> tuple[float, float]:
    """Return the least and the largest score on the scenario's scale, a tenth of their distance added."""
    quality = scenario.quality
    found = [score.score for score in quality.scores.values()]
    if quality.scale in catalog.benchmarks():
        found += [row.value("score") for row in catalog.quality_scores(quality.scale)]
    found += [] if quality.floor is None else [quality.floor]
    more = 0.1 * (max(found) - min(found) or 1.0)
    return min(found) - more, max(found) + more


def _floor(document: Document, value: float, _scenario: Scenario) -> None:
    document["quality"]["floor"] = value


_LOAD, _OBJECTIVE, _PRICES, _HARDWARE, _TRAINING = "Load", "Objective", "Prices", "Hardware", "Training"
_CONTROLS: tuple[Control, ...] = (
    _slider("load", _LOAD, "Requests a day", _at("demand.requests_per_day"), low=10, high=1e9, log=True),
    _slider("growth", _LOAD, "Growth a month", (_at("demand.growth_per_month", "%")[0], _growth),
            low=-30, high=60, step=0.5, unit="%"),
    _slider("peak", _LOAD, "Busiest minutes over the mean", (peak_to_mean, _at("demand.peak_to_mean")[1]),
            low=1, high=20, step=0.1, unit="times"),
    _slider("cached", _LOAD, "Prompt tokens from a cache", _at("demand.cached_input", "%"),
            low=0, high=95, step=1, unit="%"),
    _choice("lengths", _LOAD, "Requests like those of", (_lengths, _write_lengths), "workloads"),
    _slider("isl", _LOAD, "Prompt, mean", (lambda scenario: _mean(scenario, "isl"), _write_mean("isl")),
            low=10, high=200_000, log=True, unit="tokens"),
    _slider("osl", _LOAD, "Answer, mean", (lambda scenario: _mean(scenario, "osl"), _write_mean("osl")),
            low=2, high=50_000, log=True, unit="tokens"),
    _slider("horizon", _OBJECTIVE, "Horizon", _whole(_at("horizon")), low=1, high=60, step=1, unit="months"),
    _slider("ttft", _OBJECTIVE, "Time to first token within", _limit("ttft", "s", 30.0),
            low=0.05, high=30, log=True, unit="s", unlimited=True),
    _slider("tpot", _OBJECTIVE, "Time per output token within", _limit("tpot", "ms", 500.0),
            low=3, high=500, log=True, unit="ms", unlimited=True),
    _slider("floor", _OBJECTIVE, "Quality at least", (lambda scenario: scenario.quality.floor, _floor),
            span=_scores),
    _slider("api_input", _PRICES, "API, a million prompt tokens", _api_price("input"),
            low=0.005, high=200, log=True, unit="USD"),
    _slider("api_output", _PRICES, "API, a million answer tokens", _api_price("output"),
            low=0.005, high=600, log=True, unit="USD"),
    _slider("rental", _PRICES, "First device, an hour", _rental(), low=0.05, high=50, log=True, unit="USD"),
    _slider("electricity", _PRICES, "Electricity, a kWh", (_electricity, _at("prices.electricity", "USD/kWh")[1]),
            low=0, high=0.6, step=0.005, unit="USD"),
    _choice("region", _PRICES, "Region", _at("region"), "regions"),
    _choice("model", _HARDWARE, "Open model to serve", (_served, _model), "models"),
    _choice("devices", _HARDWARE, "Devices to serve on", _at("routes.serve.devices"), "devices", "several"),
    _slider("engineers", _HARDWARE, "Engineers who run it", _at("routes.serve.engineers"),
            low=0, high=20, step=0.25, unit="people"),
    _slider("tokens", _TRAINING, "Pretraining data", _at("routes.pretrain.tokens", "Ttoken"),
            low=0.001, high=50, log=True, unit="T tokens"),
    _slider("pretrain_devices", _TRAINING, "Devices of the pretraining", _whole(_at("routes.pretrain.num_devices")),
            low=8, high=32_768, log=True, unit="devices"),
    _slider("finetune_tokens", _TRAINING, "Fine-tuning data", _at("routes.finetune.training_tokens", "Mtoken"),
            low=0.1, high=10_000, log=True, unit="M tokens"),
)  # fmt: skip
