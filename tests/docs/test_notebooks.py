"""The notebooks: their cells run in order without Jupyter and print what the file shows; small, and with no scripts."""

import importlib.util
import json

import pytest

MOST_BYTES = 300_000
NAMES = ("decide", "plan")


@pytest.fixture(scope="module")
def runner(docs):
    """docs/notebooks.py as a module."""
    spec = importlib.util.spec_from_file_location("docs_notebooks", docs.DOCS / "notebooks.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def text(runner, request):
    return (runner.FOLDER / f"{request.param}.ipynb").read_text(encoding="utf-8")


def test_these_are_all(runner):
    assert tuple(path.stem for path in runner.notebooks()) == NAMES


@pytest.mark.parametrize("text", NAMES, indirect=True)
def test_cells_show_what_the_file_shows(runner, text, monkeypatch):
    monkeypatch.delenv("STEELYARD_DATA", raising=False)
    shown = json.loads(text)
    real = runner.executed(text, runner.FOLDER)
    assert runner.texts(real) == runner.texts(shown), "`python docs/pages.py` writes the real output"
    assert [forms(cell) for cell in real["cells"]] == [forms(cell) for cell in shown["cells"]]


def forms(cell):
    """Return in which forms the outputs of a cell are kept."""
    return [sorted(output.get("data", {output.get("name"): ""})) for output in cell.get("outputs", ())]


@pytest.mark.parametrize("text", NAMES, indirect=True)
def test_a_notebook_is_small_and_holds_tables_and_plots_but_no_script(runner, text):
    kept = {form for cell in json.loads(text)["cells"] for output in forms(cell) for form in output}
    assert {runner.HTML, runner.PLOTLY, runner.TEXT} <= kept
    assert len(text.encode()) < MOST_BYTES
    assert "<script" not in text


@pytest.mark.parametrize("text", NAMES, indirect=True)
def test_a_notebook_is_one_of_the_format(text):
    found = json.loads(text)
    assert (found["nbformat"], found["nbformat_minor"]) == (4, 5)
    assert len({cell["id"] for cell in found["cells"]}) == len(found["cells"])
    assert [cell["execution_count"] for cell in found["cells"] if cell["cell_type"] == "code"] == list(
        range(1, 1 + sum(cell["cell_type"] == "code" for cell in found["cells"]))
    )


def test_a_wrong_output_is_found(runner, tmp_path):
    cell = {"cell_type": "code", "source": ["print(1)\n", "1 + 1"], "outputs": [], "execution_count": None}
    found = runner.executed(json.dumps({"cells": [cell]}), tmp_path)
    assert runner.texts(found) == [["1\n", "2"]]
