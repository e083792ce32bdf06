from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

import steelyard.cli
import steelyard.compare
from commands import answer, document, refusal
from steelyard import catalog
from steelyard.compare.claims import claims
from steelyard.compare.result import ROUTES, Comparison
from steelyard.compare.scenario import Scenario
from steelyard.compare.scenario_file import example_path

FACTORS = [
    "purpose", "compute_cost", "time_to_value", "hardware_requirements", "enterprise_relevance", "scalability",
    "optimisation_goals",
]  # fmt: skip


def test_compare_answers_a_newcomer(capsys: pytest.CaptureFixture[str]) -> None:
    out = answer(capsys, "compare")
    for heading in ("THE ANSWER", "WHAT YOU PAY AND NEED", "INFERENCE AGAINST TRAINING", "CHEAPEST ROUTE BY LOAD"):
        assert heading in out
    assert "\x1b" not in out
    assert max(map(len, out.splitlines())) <= 120


def test_compare_as_json_is_the_whole_answer_and_can_be_weighed_again(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    first = document(capsys, "compare")
    assert first["schema"] == "steelyard/compare/1"
    assert list(first["breakdown"]) == FACTORS
    assert [route["route"] for route in first["result"]["routes"]] == list(ROUTES)
    assert all(source["title"] for source in first["sources"])
    again = tmp_path / "again.yaml"
    again.write_text(json.dumps(first["inputs"]))
    assert document(capsys, "compare", str(again))["result"] == first["result"]


@pytest.fixture
def weighed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the comparison computed once for all commands of a test."""
    compare, found = steelyard.compare.compare, []

    def once(scenario: Scenario) -> Comparison:
        if not found:
            found.append(compare(scenario))
        return found[0]

    monkeypatch.setattr(steelyard.compare, "compare", once)


@pytest.mark.usefixtures("weighed_once")
def test_compare_explains_each_factor(capsys: pytest.CaptureFixture[str]) -> None:
    for factor in (*FACTORS, "Compute Cost", "time-to-value"):
        out = answer(capsys, "compare", "--explain", factor)
        assert len(out.splitlines()) > 3
    assert "nearest: compute_cost" in refusal(capsys, "compare", "--explain", "compute_cots", code=2)


def test_formats_exclude_each_other(capsys: pytest.CaptureFixture[str]) -> None:
    assert "exclude each other" in refusal(capsys, "compare", "--json", "--explain", "purpose", code=2)
    assert "exclude each other" in refusal(capsys, "compare", "--example", "--html", code=2)


@pytest.mark.usefixtures("weighed_once")
def test_the_end_of_the_file_chooses_the_format(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    for name, start in (("a.json", "{"), ("a.md", "# "), ("a.html", "<!DOCTYPE html>"), ("a.txt", "Internal")):
        assert answer(capsys, "compare", "-o", str(tmp_path / name)) == ""
        assert (tmp_path / name).read_text(encoding="utf-8").startswith(start)


def test_the_example_is_a_scenario(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    mine = tmp_path / "mine.yaml"
    mine.write_text(answer(capsys, "compare", "--example"))
    assert answer(capsys, "compare", str(mine)) == answer(capsys, "compare")


def test_wrong_scenarios_are_one_line(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert "no such file" in refusal(capsys, "compare", str(tmp_path / "nope.yaml"), code=2)
    assert "is a folder" in refusal(capsys, "compare", str(tmp_path), code=2)
    refusal(capsys, "compare", "", code=2)


# Linux counts the memory of the process that forks into its child's peak: a small one must stand between.
MEASURED = """
import resource, subprocess, sys
done = subprocess.run(sys.argv[1:], check=False)
used = resource.getrusage(resource.RUSAGE_CHILDREN)
print(done.returncode, used.ru_utime + used.ru_stime, used.ru_maxrss)
"""


def test_huge_files_are_refused_a_second_after_the_start_and_within_500_mb(tmp_path: Path) -> None:
    start_s = 0.0
    for name in ("huge.yaml", "config.json"):
        with (tmp_path / name).open("wb") as file:
            file.truncate(100_000_000)
    example = example_path().read_text(encoding="utf-8")
    (tmp_path / "mine.yaml").write_text(re.sub(r"(?m)^model: \S+", "model: config.json", example))
    for name, words in (("none.yaml", "none.yaml"), ("huge.yaml", "larger than"), ("mine.yaml", "model: config.json")):
        command = [sys.executable, "-c", MEASURED, sys.executable, "-m", "steelyard", "compare", name]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
        code, seconds, peak_kib = done.stdout.split()
        assert (code, done.stderr.count("\n")) == ("2", 1)
        assert words in done.stderr
        start_s = start_s or float(seconds)  # what is not there is refused at once
        assert float(seconds) < start_s + 1
        assert int(peak_kib) < 500_000


def test_nothing_is_written_when_the_scenario_is_wrong(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    out = tmp_path / "out.html"
    refusal(capsys, "compare", str(tmp_path / "nope.yaml"), "--html", "-o", str(out), code=2)
    assert not out.exists()


def test_claims_are_listed_with_verdict_and_sources(capsys: pytest.CaptureFixture[str]) -> None:
    found = claims()
    out = answer(capsys, "claims")
    assert sum(line.startswith(("HOLDS", "DOES NOT HOLD", "NO SOURCE")) for line in out.splitlines()) == len(found)
    listed = document(capsys, "claims")
    assert [claim["id"] for claim in listed["claims"]] == [claim.id for claim in found]
    assert sum(listed["result"].values()) == len(found)
    table = answer(capsys, "claims", "--markdown")
    assert sum(line.startswith("| ") for line in table.splitlines()) == len(found) + 2


def test_catalog_lists_its_kinds_and_their_records(capsys: pytest.CaptureFixture[str]) -> None:
    kinds = answer(capsys, "catalog", "list")
    assert all(kind in kinds for kind in catalog.kinds())
    out = answer(capsys, "catalog", "list", "accelerators")
    assert len(out.splitlines()) == len(catalog.accelerators()) + 2
    rows = document(capsys, "catalog", "list", "models")["result"]
    assert [row["id"] for row in rows] == list(catalog.models())
    assert "nearest: accelerators" in refusal(capsys, "catalog", "list", "acelerators", code=3)


def test_catalog_shows_every_figure_with_its_source(capsys: pytest.CaptureFixture[str]) -> None:
    out = answer(capsys, "catalog", "show", "h100")
    assert "80 GB" in out
    assert "published" in out
    shown = document(capsys, "catalog", "show", "h100")
    assert shown["result"]["id"] == "h100-sxm5-80gb"
    cited = {name for figure in shown["result"]["figures"] for name in figure["source"].split(" + ")}
    assert cited == {source["id"] for source in shown["sources"]}
    assert "h100" in refusal(capsys, "catalog", "show", "h100-smx", code=3)


def test_catalog_check_counts_what_it_found(capsys: pytest.CaptureFixture[str]) -> None:
    out = answer(capsys, "catalog", "check", "--today", "2026-11-26")
    assert out.splitlines()[-1].startswith("0 errors, ")
    later = document(capsys, "catalog", "check", "--today", "2036-11-22")["result"]
    now = document(capsys, "catalog", "check", "--today", "2026-11-26")["result"]
    assert sum(issue["level"] == "warning" for issue in later) > sum(issue["level"] == "warning" for issue in now)
    assert "YYYY-MM-DD" in refusal(capsys, "catalog", "check", "--today", "soon", code=2)


def test_a_catalogue_from_the_future_is_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert "after today" in answer(capsys, "catalog", "check", "--today", "2020-01-01", code=1)


def test_commands_compute_nothing_themselves() -> None:
    """Arithmetic on quantities belongs to the rooms below; here only exit codes and lengths of lists are added."""
    for path in Path(steelyard.cli.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            computes = isinstance(node, ast.BinOp) and not isinstance(node.op, (ast.Add, ast.BitOr))
            assert not computes, f"{path.name}:{node.lineno}"


def test_the_shipped_kernel_figures_are_not_overwritten(capsys: pytest.CaptureFixture[str]) -> None:
    assert "merge by hand" in refusal(capsys, "calibrate", "operators", "--shipped", code=2)


def test_points_that_are_not_there_are_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told = refusal(capsys, "validate", "training", "--data", str(tmp_path / "none.csv"), code=2)
    assert told.strip().endswith("none.csv: no such file")
