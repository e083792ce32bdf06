"""Checks the names in a scenario against the catalogue, and replaces aliases by ids."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from steelyard import arch, catalog, economics
from steelyard.compare.quality_map import load_loss_map
from steelyard.compare.result import ROUTES
from steelyard.compare.scenario import Quality, Scenario
from steelyard.compare.scenario_routes import TO_API, TO_DEVICES
from steelyard.errors import InputError, SteelyardError, UnknownError, unknown
from steelyard.records.spec import Problem, shown

PRICINGS = ("on_demand", "spot", "reserved_1y", "reserved_3y", "owned")

Steps = tuple[str | int, ...]
Place = tuple[Steps, dict[str, Any] | list[Any], str | int]  # path in the file, and where the name stands


def with_known_names(scenario: Scenario) -> tuple[Scenario, list[Problem]]:
    """Return the scenario with the catalogue's ids for its names, and what is wrong with any of them."""
    data = scenario.to_dict()
    problems, ids = [], {}
    for pattern, resolve in _resolvers(scenario).items():
        for path, holder, key in list(_places(data, tuple(pattern.split(".")))):
            try:
                stated = str(holder[key])  # type: ignore[index]
                holder[key] = ids[stated] = resolve(stated)  # type: ignore[index]
            except SteelyardError as error:
                problems.append(Problem(path, str(error)))
    scores = data["quality"]["scores"]
    data["quality"]["scores"] = {ids.get(name, name): score for name, score in scores.items()}
    problems += _price_problems(scenario, data) + _quality_problems(scenario) + _assumption_problems(scenario)
    if problems:
        return scenario, problems
    return Scenario.model_validate(data).model_copy(update={"base_dir": scenario.base_dir}), []


def _resolvers(scenario: Scenario) -> dict[str, Callable[[str], str]]:
    """Return for each place that holds a name what makes an id of it; `*` is every route or list item."""

    def model(ref: str) -> str:
        return _model(ref, scenario.base_dir)

    def option(ref: str) -> str:
        if ref in scenario.prices.api:
            return ref
        return _one_of("API option", ref, _api_options(), next_step="state the price of another under prices.api")

    return {
        "model": model,
        "region": lambda ref: _region(ref, scenario),
        "demand.lengths": lambda ref: catalog.workload(ref).id,
        "demand.lengths.trace": lambda ref: _file(ref, scenario.base_dir),
        "quality.loss_map.points": lambda ref: _points(ref, scenario),
        "routes.api.options.*": option,
        "routes.hybrid.api": option,
        "routes.hybrid.overflow.*": lambda ref: _one_of("overflow", ref, (TO_API, TO_DEVICES)),
        "routes.hosted_finetune.provider": lambda ref: _one_of("provider", ref, _hosts()),
        "routes.*.model": model,
        "routes.*.device": _device,
        "routes.*.devices.*": _device,
        "routes.*.pricing": _pricing,
        "routes.*.pricing.*": _pricing,
        "routes.*.weight_dtype": _dtype,
        "routes.*.kv_dtype": _dtype,
    }


def _places(node: Any, pattern: Steps, path: Steps = ()) -> Iterator[Place]:
    """Yield every place of the document that the pattern names and that holds text."""
    step, rest = pattern[0], pattern[1:]
    if isinstance(node, dict):
        keys: Iterable[Any] = node if step == "*" else [step] if step in node else []
    else:
        keys = range(len(node)) if step == "*" and isinstance(node, list) else []
    for key in keys:
        if rest:
            yield from _places(node[key], rest, (*path, key))
        elif isinstance(node[key], str):
            yield (*path, key), node, key


def _one_of(what: str, name: str, known: Iterable[str], *, next_step: str = "") -> str:
    options = {option.casefold(): option for option in known}
    if name.casefold() not in options:
        raise UnknownError(unknown(what, name, options.values(), next_step=next_step))
    return options[name.casefold()]


def _api_options() -> list[str]:
    return [f"{row['provider']}/{row['model']}" for row in catalog.table("api_prices").rows]


def _hosts() -> set[str]:
    return {row["provider"] for row in catalog.table("hosted_finetuning").rows}


def _pricing(ref: str) -> str:
    return _one_of("pricing", ref, {*PRICINGS, *(row["kind"] for row in catalog.table("gpu_prices").rows)})


def _device(ref: str) -> str:
    return catalog.accelerator(ref).id


def _dtype(ref: str) -> str:
    arch.dtype_bytes(ref)
    return ref


def _model(ref: str, base_dir: Path) -> str:
    path = base_dir / ref
    if not catalog.has_model(ref) and path.exists():
        arch.load(path)  # says what is wrong with the file, if anything
        return ref
    try:
        return catalog.model(ref).id
    except UnknownError as error:
        if path.suffix == ".json":
            raise InputError(f"no such file {ref!r}; a path is relative to the scenario file") from None
        raise UnknownError(f"{error}; or give a path to its config.json") from None


def _region(ref: str, scenario: Scenario) -> str:
    try:
        if scenario.prices.electricity_usd_per_j is None:
            economics.electricity_price(ref)
        if scenario.prices.grid_kgco2e_per_j is None:
            economics.grid_intensity(ref)
    except UnknownError as error:
        hint = "`steelyard catalog list electricity` and `steelyard catalog list grid` show all"
        raise UnknownError(f"{error}; {hint}") from None
    return ref


def _file(ref: str, base_dir: Path) -> str:
    if not (base_dir / ref).is_file():
        raise InputError(f"no such file {ref!r}; a path is relative to the scenario file")
    return ref


def _points(ref: str, scenario: Scenario) -> str:
    assert scenario.quality.loss_map is not None
    load_loss_map(scenario.base_dir / _file(ref, scenario.base_dir), scenario.quality.loss_map.law)
    return ref


def _price_problems(scenario: Scenario, data: dict[str, Any]) -> list[Problem]:
    """Give the user's device prices the catalogue's ids; return what is wrong with their names."""
    problems, devices = [], {}
    routes = scenario.routes
    used = {*(routes.api.options if routes.api else ()), *([routes.hybrid.api] if routes.hybrid else [])}
    known = {*_api_options(), *(name for name in used if name)}
    for name in scenario.prices.api:
        if name not in known:
            text = unknown("API option", name, known, next_step="name it in routes.api.options")
            problems.append(Problem(("prices", "api", name), text))
    for name, prices in scenario.prices.devices.items():
        try:
            devices[_device(name)] = {_pricing(kind): price for kind, price in prices.items()}
        except SteelyardError as error:
            problems.append(Problem(("prices", "devices", name), str(error)))
    if devices:
        data["prices"]["devices"] = devices
    return problems


def _quality_problems(scenario: Scenario) -> list[Problem]:
    quality, problems = scenario.quality, []
    benchmarks = list(catalog.benchmarks())
    if quality.scale not in benchmarks and not quality.scores and not quality.loss_map:
        text = unknown("benchmark", quality.scale, benchmarks, next_step="a scale of your own needs quality.scores")
        problems.append(Problem(("quality", "scale"), text))
    known = set(_scored(scenario))
    for name in quality.scores:
        if name not in known:
            problems.append(Problem(("quality", "scores", name), unknown("route or option", name, known)))
    if quality.scale in benchmarks:
        problems += _percent_problems(quality)
    return problems


def _assumption_problems(scenario: Scenario) -> list[Problem]:
    """Return the assumptions that nobody makes; what decides who wins is no assumption of a scenario."""
    known = [name for name, figure in catalog.calibration("compare").items() if figure.low is not None]
    wrong = [name for name in scenario.assumptions if name not in known]
    return [Problem(("assumptions", name), unknown("assumption", name, known)) for name in wrong]


def _percent_problems(quality: Quality) -> Iterator[Problem]:
    """Yield the scores written as 62 on a benchmark that counts in percent, where 62% is meant."""
    unit = next((row.figures["score"].unit for row in catalog.quality_scores(quality.scale)), "")
    written: list[tuple[Steps, float]] = []
    for name, own in quality.scores.items():
        written.append((("quality", "scores", name), own.score))
    if quality.floor is not None:
        written.append((("quality", "floor"), quality.floor))
    for path, value in written:
        if unit == "ratio" and not 0 <= value <= 1:
            text = f"{shown(value)} is out of range on {quality.scale}; allowed: 0% to 100%, for example 62%"
            yield Problem(path, text)


def _scored(scenario: Scenario) -> Iterator[str]:
    """Yield the names under which a score can stand: routes, API options, models."""
    yield from ROUTES
    yield scenario.model
    yield from scenario.prices.api
    for route in ROUTES:
        stated = getattr(scenario.routes, route)
        for key in ("options", "model", "api"):
            value = getattr(stated, key, None)
            yield from (value,) if isinstance(value, str) else value or ()
