"""The glossary names what the code names."""

import re
from pathlib import Path

import pytest

import steelyard

PACKAGE = Path(steelyard.__file__).parent
CODE = "\n".join(
    path.read_text(encoding="utf-8")
    for path in sorted(PACKAGE.rglob("*"))
    if path.suffix in (".py", ".toml") and not {"accelerators", "models"} & set(path.relative_to(PACKAGE).parts)
)
KNOWN = set(re.findall(r"\w+", CODE))


@pytest.fixture(scope="module")
def rows(docs):
    lines = (docs.DOCS / "reference" / "glossary.md").read_text(encoding="utf-8").splitlines()
    table = [[cell.strip() for cell in line[1:-1].split("|")] for line in lines if line.startswith("| ")]
    return [cells for cells in table if cells[0] != "term"]


def test_every_name_is_one_of_the_code(rows):
    names = [name for cells in rows for name in re.findall(r"`(\w+)`", cells[1])]
    assert len(names) > 80
    missing = [name for name in names if name not in KNOWN]
    assert not missing, f"not in src: {missing}"


def test_every_term_has_a_name_and_a_meaning(rows):
    for cells in rows:
        assert len(cells) == 4, cells
        assert cells[0], cells
        assert "`" in cells[1], cells
        assert cells[3], cells


def test_what_answers_and_pages_speak_of_is_explained(rows):
    spoken = {"capacity surface", "tornado", "value of information", "break-even", "lifetime optimum", "sheet", "emit"}
    assert spoken <= {cells[0] for cells in rows}


def test_terms_and_names_stand_once(rows):
    terms = [cells[0] for cells in rows]
    assert len(terms) == len(set(terms))


def test_a_unit_agrees_with_the_ending_of_the_name(rows):
    endings = {"_s": "s", "_bytes": "B", "_tokens": "token", "_ratio": "ratio", "_w": "W", "_j": "J"}
    for cells in rows:
        units = cells[2].split(", ")
        for name in re.findall(r"`(\w+)`", cells[1]):
            for ending, unit in endings.items():
                if name.endswith(ending) and "_per" not in name and name != "device_s":
                    assert unit in units, f"{name} is in {unit}, the page says {cells[2]}"
