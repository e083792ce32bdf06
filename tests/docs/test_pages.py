"""Every page: its commands and examples do what it shows, its links lead somewhere, its generated parts are current."""

import re
from pathlib import Path

import pytest
import yaml

from steelyard import catalog
from steelyard.compare.scenario_file import example_path, load_scenario
from steelyard.errors import InputError
from steelyard.runtime.train.job import load_job

LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)


@pytest.fixture(autouse=True)
def only_shipped(monkeypatch):
    monkeypatch.delenv("STEELYARD_DATA", raising=False)
    catalog.refresh()
    yield
    catalog.refresh()


def test_commands_and_examples_do_what_the_page_shows(docs, page, tmp_path):
    found = list(docs.run_page(page.read_text(encoding="utf-8"), tmp_path))
    told = [f"line {one.first + 1}: shown {list(one.shown)}, real {list(one.real)}" for one in found]
    assert not told, "\n".join([*told, "`python docs/pages.py` writes the real output; read it before you commit it"])


def test_links_lead_to_files_and_headings(page):
    text = page.read_text(encoding="utf-8")
    prose = re.sub(r"^```.*?^```$", "", text, flags=re.DOTALL | re.MULTILINE)
    for target in LINK.findall(prose):
        if target.startswith(("http://", "https://")):
            continue
        name, _, anchor = target.partition("#")
        path = page.parent / name if name else page
        assert path.exists(), f"{target} leads nowhere"
        if anchor:
            titles = HEADING.findall(path.read_text(encoding="utf-8"))
            anchors = [re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles]
            assert anchor in anchors, f"{target}: no such heading"


def test_scenarios_load(docs, page, tmp_path, monkeypatch):
    """A YAML block is a scenario, a part laid over the built-in example, or job.yaml; wrong.yaml is refused."""
    monkeypatch.chdir(tmp_path)
    for block in docs.blocks(page.read_text(encoding="utf-8")):
        if block.file:
            docs.write_file(block, tmp_path)
        if (tmp_path / "my-data").exists():
            monkeypatch.setenv("STEELYARD_DATA", "my-data")
        if block.language == "yaml" and block.file == "wrong.yaml":
            with pytest.raises(InputError):
                load_scenario("wrong.yaml")
        elif block.language == "yaml" and block.file == "job.yaml":
            assert load_job(Path("job.yaml"), {}).out, f"line {block.start}"
        elif block.language == "yaml":
            part = yaml.safe_load(block.text)
            base = {} if "name" in part else yaml.safe_load(example_path().read_text(encoding="utf-8"))
            Path("tried.yaml").write_text(yaml.safe_dump(laid_over(base, part)), encoding="utf-8")
            assert load_scenario("tried.yaml").name, f"line {block.start}"


def laid_over(base, part):
    """Return `base` with the values of `part`; mappings are joined, all else is replaced."""
    if not (isinstance(base, dict) and isinstance(part, dict)):
        return part
    return {**base, **{key: laid_over(base.get(key), value) for key, value in part.items()}}


def test_the_page_of_the_command_line_is_current(docs):
    assert docs.CLI_PAGE.read_text(encoding="utf-8") == docs.cli_page(), "run `python docs/pages.py`"


def test_every_command_is_on_the_page_of_the_command_line(docs):
    titles = HEADING.findall(docs.CLI_PAGE.read_text(encoding="utf-8"))
    assert {"steelyard compare", "steelyard claims", "steelyard catalog check"} <= set(titles)


def test_the_notes_on_accuracy_are_those_of_the_calibration_files(docs):
    text = docs.ACCURACY_PAGE.read_text(encoding="utf-8")
    assert {name for name in ("device", "training", "inference") if f"<!-- notes of {name}.toml -->" in text} == {
        "device", "training", "inference"
    }  # fmt: skip
    assert text == docs.with_notes(text), "run `python docs/pages.py`"


def test_the_figures_on_accuracy_stand_in_the_calibration_files(docs):
    text = docs.ACCURACY_PAGE.read_text(encoding="utf-8")
    notes = {"kernels-and-collectives": "device", "training": "training", "serving": "inference"}
    rows = re.findall(r"^\| \[.+\]\(#([\w-]+)\) \|(.*)$", text, re.MULTILINE)
    assert len(rows) > 6
    for section, cells in rows:
        known = re.findall(r"\d+(?:\.\d+)?%?", docs.calibration_note(notes[section]))
        for number in re.findall(r"\d+(?:\.\d+)?%?", cells):
            assert number in known, f"{number} is not in calibration/{notes[section]}.toml"


def test_a_difference_is_found(docs, tmp_path):
    text = "```python\n>>> 1 + 1\n3\n```\n```console\n$ steelyard --version\nsteelyard 0\n```\n"
    wrong = list(docs.run_page(text, tmp_path))
    assert [one.real[0][:9] for one in wrong] == ["2", "steelyard"]
    assert "\n2\n" in docs.refreshed(text, tmp_path)


def test_a_wrong_exit_code_is_found(docs, tmp_path):
    with pytest.raises(AssertionError, match="ended with 3"):
        list(docs.run_page("```console\n$ steelyard catalog show no-such-thing\n```\n", tmp_path))
