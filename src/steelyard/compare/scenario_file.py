"""Loads a scenario from its file: safely read, validated, names checked; every fault is one line."""

from __future__ import annotations

import sys
from importlib import resources
from pathlib import Path
from typing import Any

from steelyard.compare.scenario import Scenario
from steelyard.compare.scenario_names import with_known_names
from steelyard.errors import InputError
from steelyard.records.spec_file import first_problem, validated
from steelyard.records.yaml_file import read_yaml, read_yaml_stream

STDIN, STDIN_SHOWN = "-", "standard input"


def example_path() -> Path:
    """Return the path of the built-in example."""
    return Path(str(resources.files("steelyard.compare") / "example.yaml"))


def load_scenario(path: str | Path | None = None) -> Scenario:
    """Return the scenario in a YAML file, in standard input for "-", or the built-in example without one.

    Device and model names come back as the catalogue's ids; relative paths in it stay relative to `base_dir`,
    the file's folder, or the current one.

    Raises:
        InputError: One line: file, path of the field, what is wrong, what is allowed, the nearest valid name.

    Example:
        >>> load_scenario().model
        'gpt-oss-120b'
    """
    if str(path) == STDIN:
        if sys.stdin is None:
            raise InputError(f"{STDIN_SHOWN}: is closed; give a YAML file")
        return scenario_from(read_yaml_stream(sys.stdin.buffer, shown_as=STDIN_SHOWN), shown_as=STDIN_SHOWN)
    file = example_path() if path is None else Path(path)
    return scenario_from(read_yaml(file), base_dir=file.parent, shown_as=str(file))


def scenario_from(data: Any, *, base_dir: Path = Path(), shown_as: str = "scenario") -> Scenario:
    """Return the scenario in a document (`shown_as` names it in errors).

    Raises:
        InputError: As `load_scenario`.
    """
    scenario = validated(Scenario, data, what="scenario", shown_as=shown_as)
    scenario = scenario.model_copy(update={"base_dir": base_dir})
    scenario, problems = with_known_names(scenario)
    if problems:
        raise first_problem(problems, shown_as)
    return scenario
