"""From what the page sends to a scenario: a preset or a text, the models pasted with it, and what was moved since.

Nothing that a browser sends names a file of this machine: a model is one of the catalogue or one that was pasted.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from steelyard import catalog
from steelyard.compare.scenario import Scenario
from steelyard.compare.scenario_file import scenario_from
from steelyard.errors import InputError, UnknownError
from steelyard.records.spec import shown
from steelyard.records.yaml_file import read_yaml_text
from steelyard.web.controls import changed
from steelyard.web.presets import preset

MAX_FILES = 4
_KEYS = {"preset", "yaml", "files", "set"}
_FILE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,59}\.json")


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """A scenario, and what it was made from."""

    scenario: Scenario
    files: Mapping[str, str]  # pasted models by the name they have in the scenario


def key_of(state: Any) -> str:
    """Return a text that two equal states share."""
    return hashlib.sha256(json.dumps(state, sort_keys=True).encode()).hexdigest()


def question_of(state: Any, folder: Path) -> Question:
    """Return the scenario of a state; pasted models are written to `folder`.

    Raises:
        SteelyardError: One line, as for a scenario file.
    """
    if not isinstance(state, Mapping) or set(state) - _KEYS or ("preset" in state) == ("yaml" in state):
        raise InputError("a question is {preset or yaml, files, set}")
    files = _files(state.get("files", {}))
    stated = _stated(state, files, folder)
    changes = state.get("set", {})
    if not changes:
        return Question(scenario=stated, files=files)
    document = changed(stated, changes, models=files)
    return Question(scenario=scenario_from(document, base_dir=stated.base_dir, shown_as="scenario"), files=files)


def _stated(state: Mapping[str, Any], files: Mapping[str, str], folder: Path) -> Scenario:
    """Return the scenario before anything was moved; a preset may name files beside it, a text only pasted ones."""
    if "preset" in state:
        found = preset(str(state["preset"]))
        base_dir = _written(files, folder) if files else found.file.parent
        return scenario_from(_document(found.text), base_dir=base_dir, shown_as="scenario")
    document = _document(state["yaml"])
    for path, key, name in _named(document):
        _check_name(path, key, name, files)
    return scenario_from(document, base_dir=_written(files, folder), shown_as="scenario")


def _document(text: Any) -> dict[str, Any]:
    if not isinstance(text, str):
        raise InputError("yaml: allowed: the text of a scenario file")
    found = read_yaml_text(text, shown_as="scenario")
    if not isinstance(found, dict):
        raise InputError("scenario: not a scenario; allowed: fields with values, as in `steelyard compare --example`")
    return found


def _files(given: Any) -> dict[str, str]:
    if not isinstance(given, Mapping) or len(given) > MAX_FILES:
        raise InputError(f"files: allowed: up to {MAX_FILES} pasted models by name")
    for name, text in given.items():
        if not isinstance(name, str) or not _FILE_NAME.fullmatch(name) or ".." in name:
            raise InputError(f"files: {shown(name)} is not a name for a model; allowed: letters, digits, - and .json")
        if not isinstance(text, str):
            raise InputError(f"{name}: allowed: the text of a config.json")
    return dict(given)


def _named(node: Any, path: str = "") -> Iterator[tuple[str, str, str]]:
    """Yield every place that could name a file: path, key, name."""
    for key, value in node.items() if isinstance(node, dict) else ():
        here = f"{path}.{key}" if path else str(key)
        if isinstance(value, str) and key in {"model", "trace"}:
            yield here, key, value
        yield from _named(value, here)


def _check_name(path: str, key: str, name: str, files: Mapping[str, str]) -> None:
    if key == "trace":
        raise InputError(f"{path}: a trace is a file, and the page reads none; next step: `steelyard compare` with it")
    if name in files:
        return
    try:
        catalog.model(name)
    except UnknownError as error:
        raise InputError(f"{path}: {error}; or paste its config.json on the page") from None


def _written(files: Mapping[str, str], folder: Path) -> Path:
    """Return the folder that holds these files and nothing else."""
    place = folder / key_of(files)[:32]
    if not place.is_dir():
        folder.mkdir(parents=True, exist_ok=True)
        draft = Path(tempfile.mkdtemp(dir=folder))  # a task may write the same at the same time
        for name, text in files.items():
            (draft / name).write_text(text, encoding="utf-8")
        try:
            draft.rename(place)
        except OSError:  # it was there first, whole
            shutil.rmtree(draft)
    return place
