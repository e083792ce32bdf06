"""The questions to start from: the scenarios that come with the package."""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from steelyard.compare.scenario_file import example_path
from steelyard.errors import InputError, unknown
from steelyard.records.yaml_file import parse_yaml

EXAMPLE = "example"
_CHECKOUT = Path(__file__).parents[3] / "examples"  # beside `src`, where there is no installed copy


@dataclass(frozen=True, slots=True, kw_only=True)
class Preset:
    """A scenario to start from; `about` is the comment at its head."""

    id: str
    name: str
    about: str
    text: str
    file: Path

    def to_dict(self) -> dict[str, str]:
        return {"id": self.id, "name": self.name, "about": self.about}


@functools.cache
def presets() -> dict[str, Preset]:
    """Return the presets by id, the built-in example first."""
    folders = [Path(str(resources.files("steelyard") / "examples")), _CHECKOUT]
    files = next((found for folder in folders if (found := sorted(folder.glob("*.yaml")))), [])
    return {EXAMPLE: _preset(EXAMPLE, example_path())} | {file.stem: _preset(file.stem, file) for file in files}


def preset(preset_id: str) -> Preset:
    """Return one preset.

    Raises:
        InputError: No such preset; names the nearest.
    """
    found = presets().get(preset_id)
    if found is None:
        raise InputError(unknown("question", preset_id, presets()))
    return found


def _preset(name: str, file: Path) -> Preset:
    text = file.read_text(encoding="utf-8")
    comment = re.match(r"(?:#[^\n]*\n)*", text)
    words = " ".join(line.lstrip("# ") for line in (comment[0] if comment else "").splitlines())
    return Preset(
        id=name, name=str(parse_yaml(text).get("name", name)), about=words.partition(". ")[0], text=text, file=file
    )
