"""Loads a scenario from its file: safely read, validated, names checked; every fault is one line."""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from steelyard.compare.scenario import Scenario
from steelyard.compare.scenario_names import with_known_names
from steelyard.compare.scenario_spec import Problem, shown
from steelyard.compare.scenario_yaml import read_yaml
from steelyard.errors import InputError


def example_path() -> Path:
    """Return the path of the built-in example."""
    return Path(str(resources.files("steelyard.compare") / "example.yaml"))


def load_scenario(path: str | Path | None = None) -> Scenario:
    """Return the scenario in a YAML file, or the built-in example without one.

    Device and model names come back as the catalogue's ids; relative paths in it stay relative to `base_dir`,
    the file's folder.

    Raises:
        InputError: One line: file, path of the field, what is wrong, what is allowed, the nearest valid name.

    Example:
        >>> load_scenario().model
        'gpt-oss-120b'
    """
    file = example_path() if path is None else Path(path)
    return scenario_from(read_yaml(file), base_dir=file.parent, shown_as=str(file))


def scenario_from(data: Any, *, base_dir: Path = Path(), shown_as: str = "scenario") -> Scenario:
    """Return the scenario in a document (`shown_as` names it in errors).

    Raises:
        InputError: As `load_scenario`.
    """
    if data is None or data == {}:
        raise InputError(f"{shown_as}: empty; allowed: {', '.join(Scenario.keys())}")
    try:
        scenario = Scenario.model_validate(data).model_copy(update={"base_dir": base_dir})
    except ValidationError as error:
        problems = [_problem(dict(found)) for found in error.errors(include_url=False)]
        raise _first(problems, shown_as) from None
    scenario, problems = with_known_names(scenario)
    if problems:
        raise _first(problems, shown_as)
    return scenario


def _first(problems: list[Problem], shown_as: str) -> InputError:
    more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
    first = problems[0]
    where = f"{path_text(first.path)}: " if first.path else ""
    return InputError(f"{shown_as}: {where}{first.text}{more}")


def path_text(path: tuple[str | int, ...]) -> str:
    """Return a field's path as people write it.

    Example:
        >>> path_text(("routes", "serve", "devices", 0))
        'routes.serve.devices[0]'
    """
    text = ""
    for step in path:
        if isinstance(step, int):
            text += f"[{step}]"
        else:
            name = step if step.isprintable() and len(step) <= 60 else shown(step)
            text += f".{name}" if text else name
    return text


def _problem(found: dict[str, Any]) -> Problem:
    """Return a validation error in plain words."""
    context = found.get("ctx", {})
    # "<preset>" and its like name the form of a union, not a field
    path = tuple(step for step in found["loc"] if not str(step).startswith("<"))
    value = shown(found["input"])
    match found["type"]:
        case "at_key":
            return Problem((*path, context["key"]), context["problem"])
        case "value_error":
            text = str(context["error"])
        case "missing":
            text = "is missing; every scenario needs it" if len(path) == 1 else "is missing"
        case "literal_error":
            text = f"{value} is not known; allowed: {context['expected']}"
        case "dict_type":
            text = f"{value} stands where names with values belong"
        case "tuple_type" | "too_short" | "too_long" | "missing_positional_only_argument":
            text = f"{value} is not a pair; allowed: [low, high], for example [0%, 10%]"
        case _:
            text = f"{value} is not allowed here"
    return Problem(path, text)
