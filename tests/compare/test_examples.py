"""The ten worked scenarios of `examples/`: each runs, and decides what docs/scenarios.md says it decides.

The page is the golden file: its table holds winner, cost and runner-up. The bounds below are by hand.
"""

import re
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from changed import change
from steelyard.compare.case import build_case
from steelyard.compare.routes import EVALUATE
from steelyard.compare.routes.outcome import Outcome, choose, median
from steelyard.compare.scenario_file import load_scenario, scenario_from
from steelyard.compare.verdict import best_of
from steelyard.compare.weigh import compare, unless_idle

ROOT = Path(__file__).parents[2]
FILES = sorted((ROOT / "examples").glob("*.yaml"))
_ROW = re.compile(r"^\| \[(?P<name>[\w-]+)\]\([^)]*\) \| `(?P<winner>\w+)` \| (?P<usd>[\d,.]+)(?P<scale>[kM]?) USD \|"
                  r" (?P<next>`\w+`|none) \| (?P<most>[^|]+) \|")  # fmt: skip
_SCALES = {"": 1.0, "k": 1e3, "M": 1e6}


def documented():
    text = (ROOT / "docs" / "scenarios.md").read_text(encoding="utf-8")
    return {found["name"]: found for line in text.splitlines() if (found := _ROW.match(line))}


PAGE = documented()
# USD of the winner over the horizon, by hand: see each line.
BOUNDS = {
    # 5.6M requests (15% a month from 30.4k) of 1155 x 0.10 + 211 x 0.50 = 221 USD/M at most, if prices stand still and
    # growth is as stated; a seventh of it in the second year if they fall as fast as they did
    "startup-chat": (100, 1240),
    # 1.52M a month of 3500 x (0.4 x 0.10 + 0.6 x 0.01) + 260 x 0.50 = 291 USD/M: 443 USD a month, 10.6k over two years,
    # 13.5k with 2% growth; half of it if prices fall as before
    "support-desk": (3_000, 13_600),
    # two servers of 8 H200 at 1.7 to 3 USD an hour and device for 17,520 h, and two engineers of about 250k USD a year
    "code-completion": (1.4e6, 2.4e6),
    # 6.1M calls a month of 12,035 x 0.037 + 343 x 0.17 = 503 USD/M: 3.1k a month, growing by 5%: 137k if prices stand
    "long-context-agents": (20_000, 137_000),
    # 3.04M a month of 1268 x 0.037 + 1527 x 0.17 = 307 USD/M: 930 USD a month, growing by 5%: 41k if prices stand still
    "reasoning": (7_000, 42_000),
    # 1e9 a month of 120 x 0.05 + 15 x 0.25 = 9.75 USD/M at the batch price, a contract: 9,750 USD a month, 24 times
    "batch-classification": (233_900, 234_100),
    # 8 owned H100 at about 1.7 USD an hour with power for 35,040 h, and one engineer for 4 years
    "regulated-on-premises": (1.1e6, 2.0e6),
    # 6 x 70e9 x 8e12 FLOP at 0.35 of 989e12 are 2.7M hours, at 1.7 USD with power, twice: 9M and more with failures,
    # and 25 engineers for half a year, a corpus of 3M, serving of 3M
    "national-lab-70b": (13e6, 30e6),
    # a laptop of 40 to 60 W, all the time, for 17,520 h, at 0.15 to 0.25 USD/kWh
    "edge-laptop": (90, 270),
    # 6 x 124e6 x 10e9 FLOP at 0.1 to 0.4 of 989e12 are 5 to 21 device-hours at 3.5 USD, and some electricity
    "education-100m": (20, 100),
}


NAMES = [file.stem for file in FILES]
LONG = {
    "code-completion",
    "long-context-agents",
    "reasoning",
    "regulated-on-premises",
}  # large models: seconds of search


def decided(name, changes):
    """Return which route costs least in a changed example, and the routes priced: what `compare` calls the cost."""
    data = yaml.safe_load((ROOT / "examples" / f"{name}.yaml").read_text(encoding="utf-8"))
    change(data, changes)
    case = build_case(scenario_from(data, base_dir=ROOT / "examples"))
    found = {route: unless_idle(choose(evaluate(case))) for route, evaluate in EVALUATE.items()}
    priced = {route: one for route, one in found.items() if isinstance(one, Outcome)}
    running = {route: one.total_usd for route, one in priced.items() if not one.why_not}
    return best_of(running, criterion="least cost").winner, priced


@pytest.fixture(scope="module")
def as_shipped():
    return {name: decided(name, {}) for name in NAMES}


def ordered(priced):
    """Return the routes in the running, the cheapest at the median first."""
    running = [one for one in priced.values() if not one.why_not]
    return sorted(running, key=lambda one: median(one.total_usd))


def test_there_are_ten_and_the_page_has_each():
    assert len(FILES) == 10
    assert set(NAMES) == set(PAGE) == set(BOUNDS)


@pytest.mark.parametrize("name", NAMES)
def test_the_decision_is_the_documented_one(as_shipped, name):
    page, (winner, priced) = PAGE[name], as_shipped[name]
    first, *others = ordered(priced)
    assert first.route == winner == page["winner"]
    assert [one.route for one in others[:1]] == [page["next"].strip("`")][: page["next"] != "none"]
    stated = float(page["usd"].replace(",", "")) * _SCALES[page["scale"]]
    assert median(first.total_usd) == pytest.approx(stated, rel=0.1)
    low, high = BOUNDS[name]
    assert low <= median(first.total_usd) <= high


@pytest.mark.parametrize("name", NAMES)
def test_its_answer_rests_on_no_unknown_quality(as_shipped, name):
    """Where a floor is asked for, the winner has a score that passes it."""
    winner = ordered(as_shipped[name][1])[0]
    floor = load_scenario(ROOT / "examples" / f"{name}.yaml").quality.floor
    assert floor is None or winner.score.value.p50 >= floor


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow) if name in LONG else name for name in NAMES]
)
def test_the_whole_comparison_runs_and_agrees(as_shipped, name):
    found = compare(load_scenario(ROOT / "examples" / f"{name}.yaml"))
    assert found.factor("compute_cost").route_verdict.winner == as_shipped[name][0]
    assert len(found.factors) == 7
    assert all(one.in_running or one.why_not for one in found.summaries)


@pytest.mark.parametrize(
    ("name", "changes", "winner"),
    [
        ("startup-chat", {"demand__requests_per_day": 1_000_000}, "api"),  # a thousandfold changes nothing
        ("support-desk", {"quality__floor": 80}, "api"),  # the dearer API, still
        ("code-completion", {"objective": None}, "api"),  # the half-second is what pays for the fleet
        ("long-context-agents", {"quality__floor": 70}, "api"),
        ("reasoning", {"demand__requests_per_day": 2_000_000}, "api"),
        ("batch-classification", {"demand__requests_per_day": 65_000_000}, "finetune"),  # twice the load
        ("national-lab-70b", {"quality__floor": 67}, "finetune"),  # three points lower
        ("regulated-on-premises", {"limits": None}, "api"),
        ("edge-laptop", {"limits": None}, "api"),
        ("education-100m", {"routes__pretrain__tokens": "30 Gtoken"}, ""),  # over the budget
    ],
)
def test_what_would_change_it_does(name, changes, winner):
    assert decided(name, changes)[0] == winner


def test_what_the_rules_cost():
    """A rule that keeps data in the building, or a network away, costs what stands between the two routes."""
    for name in ("regulated-on-premises", "edge-laptop"):
        _, priced = decided(name, {})
        assert median(priced["serve"].total_usd) > 10 * median(priced["api"].total_usd)


def test_the_budget_of_the_course_is_what_stops_more_tokens():
    _, priced = decided("education-100m", {"routes__pretrain__tokens": "30 Gtoken"})
    assert priced["pretrain"].misses.startswith("over the budget")
    assert replace(priced["pretrain"], misses="").why_not == ""
