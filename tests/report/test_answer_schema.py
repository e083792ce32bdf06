"""Documents of the command line against the schema that the documentation ships."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from steelyard.cli.main import steelyard

SCHEMA = Path(__file__).parents[2] / "docs" / "reference" / "answer.schema.json"
COMMANDS = [
    "compare",
    "claims",
    "doctor",
    "catalog list accelerators",
    "catalog show h100",
    "catalog check",
    "predict train --model llama-3.1-8b --on h100 --tokens 1e12 --layout dp=64",
    "plan train --model llama-3.1-8b --on h100 --tokens 1e12 --devices 64",
    "predict serve --model llama-3.1-8b --on h100 --isl 500 --osl 100 --concurrency 4",
    "simulate serve --model llama-3.1-8b --on h100 --requests 300 --draws 2",
    "plan serve --model llama-3.1-8b --on h100 --devices 1 --isl 500 --osl 100 --draws 0",
]


@pytest.fixture(scope="module")
def schema() -> dict[str, Any]:
    if not SCHEMA.exists():
        pytest.skip("the documentation is not beside these tests")
    found: dict[str, Any] = json.loads(SCHEMA.read_text())
    return found


@pytest.mark.parametrize("line", COMMANDS)
def test_every_document_keeps_the_schema(line: str, schema: dict[str, Any]) -> None:
    jsonschema = pytest.importorskip("jsonschema")
    shown = CliRunner().invoke(steelyard, [*line.split(), "--json"])
    jsonschema.validate(json.loads(shown.stdout), schema)
