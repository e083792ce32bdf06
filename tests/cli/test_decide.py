"""`steelyard decide` from the command line: the answer, the saved one, and what is refused."""

import io
import json

import pytest
import yaml

from commands import refusal
from steelyard.cli.main import run

SMALL = {
    "name": "Ticket summaries",
    "model": "llama-3.1-8b",
    "region": "DEU",
    "horizon": 6,
    "demand": {"requests_per_day": 3000, "lengths": "chat"},
    "quality": {"scale": "arena-text", "floor": 1150},
    "routes": {
        "api": {"options": ["google/gemini-3.8-flash"]},
        "serve": {"devices": ["h100-sxm5-80gb"], "max_devices_per_replica": 1},
    },
}


@pytest.fixture
def mine(tmp_path):
    file = tmp_path / "mine.yaml"
    file.write_text(yaml.safe_dump(SMALL))
    return file


def given(monkeypatch, text):
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(text.encode())))


@pytest.mark.parametrize("command", ["compare", "decide"])
def test_a_scenario_comes_from_standard_input_too(mine, capsys, monkeypatch, command):
    text = yaml.safe_dump(SMALL | {"draws": 20})
    mine.write_text(text)
    assert run([command, str(mine)]) == 0
    expected = capsys.readouterr().out
    given(monkeypatch, text)
    assert run([command, "-"]) == 0
    assert capsys.readouterr().out == expected


@pytest.mark.parametrize("command", ["compare", "decide"])
@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "standard input: empty; allowed: name, model"),
        ("a: [", "standard input: line 1: not valid YAML"),
        ("name: x\nhorizont: 5\n", "standard input: "),
        ("#" * 1_000_001, "standard input: larger than 1,000,000 bytes"),
        (None, "standard input: is closed"),
    ],
)
def test_a_fault_in_standard_input_is_one_line_that_names_it(capsys, monkeypatch, command, text, words):
    if text is None:
        monkeypatch.setattr("sys.stdin", None)
    else:
        given(monkeypatch, text)
    assert words in refusal(capsys, command, "-", code=2)


def test_a_saved_decision_gives_the_same_bytes_again(mine, tmp_path, capsys):
    first, again = tmp_path / "first.json", tmp_path / "again.json"
    assert run(["decide", str(mine), "--draws", "60", "--seed", "7", "--json", "-o", str(first)]) == 0
    assert run(["decide", str(first), "-o", str(again)]) == 0
    assert first.read_bytes() == again.read_bytes()
    capsys.readouterr()
    saved = json.loads(first.read_text())
    assert (saved["inputs"]["draws"], saved["inputs"]["seed"]) == (60, 7)
    saved["result"]["catalogue"] = "another"
    first.write_text(json.dumps(saved))
    assert run(["decide", str(first), "-o", str(again)]) == 0
    assert "figures may differ" in capsys.readouterr().err


def test_the_answer_comes_first_and_the_costs_can_be_explained(mine, capsys):
    assert run(["decide", str(mine), "--draws", "40"]) == 0
    out = capsys.readouterr().out
    assert out.index("WHAT TO DO") < out.index("IT HANGS ON") < out.index("NEXT FACT TO GET")
    assert run(["decide", str(mine), "--draws", "40", "--explain"]) == 0
    assert "price of" in capsys.readouterr().out


def test_where_no_route_passes_the_exit_code_is_one(tmp_path, capsys):
    file = tmp_path / "strict.yaml"
    file.write_text(yaml.safe_dump(SMALL | {"quality": {"scale": "arena-text", "floor": 3000}}))
    assert run(["decide", str(file), "--draws", "20"]) == 1
    assert "No route can be recommended" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("{", "not JSON"),
        ("[]", "not a saved decision"),
        ('{"schema": "steelyard/compare/1", "inputs": {}, "result": {}}', "not a saved decision"),
        ('{"schema": "steelyard/decide/1", "inputs": {}, "result": {}}', "name"),
    ],
)
def test_a_file_that_is_no_decision_is_refused_in_one_line(tmp_path, capsys, content, told):
    file = tmp_path / "broken.json"
    file.write_text(content)
    assert run(["decide", str(file)]) == 2
    err = capsys.readouterr().err.strip()
    assert told in err
    assert len(err.splitlines()) == 1


def test_forms_exclude_each_other_and_missing_files_are_named(mine, tmp_path, capsys):
    assert run(["decide", str(mine), "--json", "--explain"]) == 2
    assert run(["decide", str(tmp_path / "none.json")]) == 2
    assert run(["decide", str(mine), "--as-of", "soon"]) == 2
    assert run(["decide", str(mine), "--draws", "0"]) == 2
    assert len(capsys.readouterr().err.strip().splitlines()) == 4


def test_as_of_before_the_prices_leaves_routes_unpriced_not_cheap(mine, capsys):
    assert run(["decide", str(mine), "--draws", "20", "--as-of", "2024-01-01", "--json"]) in (0, 1)
    routes = {route["route"]: route for route in json.loads(capsys.readouterr().out)["result"]["routes"]}
    assert routes["api"]["why_not"].startswith("unpriced")
    assert routes["api"]["overall_probability"] == 0
