"""`steelyard decide` on the worked scenarios: the documented route, and the documented largest bar of the tornado."""

import re
from pathlib import Path

import pytest

from steelyard.compare.scenario_file import load_scenario
from steelyard.decide.weigh import decide

ROOT = Path(__file__).parents[2]
_ROW = re.compile(r"^\| \[(?P<name>[\w-]+)\]\([^)]*\) \| `(?P<winner>\w+)` \|.*\| (?P<most>[^|]+) \|$")
TEXT = (ROOT / "docs" / "scenarios.md").read_text(encoding="utf-8")
PAGE = {found["name"]: found for line in TEXT.splitlines() if (found := _ROW.match(line))}
CLOSE = {part.split("\n", 1)[0] for part in TEXT.split("\n## ") if "`decide` calls it too close" in part}
QUICK = ("startup-chat", "education-100m", "batch-classification")  # the others simulate larger models


def decided(name):
    return decide(load_scenario(ROOT / "examples" / f"{name}.yaml"))


@pytest.mark.parametrize(
    "name", [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in sorted(PAGE)]
)
def test_the_months_ahead_decide_as_documented(name):
    found = decided(name)
    assert found.verdict.winner == ("too close to call" if name in CLOSE else PAGE[name]["winner"])
    assert [step.route for step in found.plan.steps] == [PAGE[name]["winner"]]
    assert found.influences[0].label == PAGE[name]["most"]
    assert {one.route for one in found.relevance} >= {PAGE[name]["winner"]}


def test_there_are_ten():
    assert len(PAGE) == 10


def test_what_is_ruled_out_is_not_to_be_evaluated():
    """An evaluation settles a quality; it opens no route that the user closed for another reason."""
    found = decided("education-100m")
    assert "ruled out" in found.route("serve").why_not
    assert found.route("serve").settles == ""
    assert "evaluate" not in found.next_fact
