"""What the how-to pages add, a GPU, a model, prices, an engine and a factor, is everywhere where it should be."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import steelyard
from commands import answer, document
from steelyard.web.choices import models

SCENARIO = """
name: All that was added
model: our/tiny-2B
region: US-VA
horizon: 1 year
demand: {requests_per_day: 50000, lengths: {isl: {mean: 300}, osl: {mean: 40}}}
quality: {scale: our own test, scores: {our-cloud/model-x: 60, serve: 55}}
routes:
  api: {options: [our-cloud/model-x]}
  serve: {devices: [acme-x1], pricing: [owned]}
"""
LOAD = ("--isl", "300", "--osl", "40", "--concurrency", "8")


@pytest.fixture
def added(follow):
    follow("add-a-gpu.md", "add-a-model.md", "add-a-price.md", "add-an-engine.md")


@pytest.mark.parametrize(
    ("kind", "key", "name"),
    [
        ("accelerators", "id", "acme-x1"),
        ("models", "id", "tiny-2b"),
        ("api_prices", "provider", "our-cloud"),
        ("gpu_prices", "provider", "our-cloud"),
        ("engines", "engine", "acme-serve"),
    ],
)
def test_the_catalogue_lists_it_as_the_users(added, capsys, kind, key, name):
    rows = [row for row in document(capsys, "catalog", "list", kind)["result"] if row[key] == name]
    assert [row["origin"] for row in rows] == ["user"]


def test_the_catalogue_finds_no_fault_with_it(added, capsys):
    assert "0 errors" in answer(capsys, "catalog", "check")


def test_deployments_of_it_are_predicted_simulated_and_planned(added, capsys):
    of = ("--model", "tiny-2b", "--engine", "acme-serve", "--on", "acme-x1")
    told = "tiny-2b in bf16 on 1 x acme-x1, acme-serve"
    assert answer(capsys, "predict", "serve", *of, *LOAD).startswith(told)
    simulated = document(capsys, "simulate", "serve", *of, *LOAD, "--requests", "200", "--draws", "0")
    assert simulated["inputs"]["engine"] == "acme-serve"
    planned = document(capsys, "plan", "serve", *of, *LOAD[:4], "--devices", "1", "--together", "--draws", "0")
    assert "acme-x1" in json.dumps(planned["result"])


def test_its_training_is_predicted_and_planned(added, capsys):
    of = ("--model", "tiny-2b", "--on", "acme-x1", "--tokens", "1G", "--price", "2 USD/device/h")
    assert "8 x acme-x1" in answer(capsys, "predict", "train", *of, "--devices", "8").splitlines()[0]
    assert "128 x acme-x1" in answer(capsys, "plan", "train", *of, "--devices", "128").splitlines()[0]


def test_the_comparison_weighs_them(added, capsys):
    Path("added.yaml").write_text(SCENARIO, encoding="utf-8")
    found = document(capsys, "compare", "added.yaml")
    options = {one["route"]: one["option"] for one in found["result"]["routes"]}
    assert options["api"] == "our-cloud/model-x"
    assert options["serve"].startswith("tiny-2b on 1x acme-x1")
    assert {"our-contract", "acme-x1-datasheet"} <= {source["id"] for source in found["sources"]}


def test_the_page_offers_the_model(added):
    assert "tiny-2b" in dict(models())


WAYS = (
    ("compare",),
    ("compare", "--json"),
    ("compare", "--markdown"),
    ("compare", "--html"),
    ("compare", "--explain", "exit_cost"),
)
RUN = """
import contextlib, io, json, sys
from steelyard import api
from steelyard.cli.main import run
from steelyard.web.answer import explained

def told(words):
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        assert run(list(words)) == 0, words
    return out.getvalue()

found = {" ".join(words): told(words) for words in json.loads(sys.argv[1])}
found["odds"] = [odds.id for odds in api.decide(draws=20).odds]
found["page"] = explained(api.compare().result, "exit_cost")["text"]
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def with_factor(docs, tmp_path_factory):
    """What is shown by a package that has one more file: the factor of the how-to page."""
    folder = tmp_path_factory.mktemp("package")
    package, copy = Path(steelyard.__file__).parent, folder / "steelyard"
    for inner in (".", "compare", "compare/factors"):
        _link(package / inner, copy / inner)
    page = (docs.DOCS / "howto" / "add-a-factor.md").read_text(encoding="utf-8")
    [module] = [block for block in docs.blocks(page) if block.file]
    docs.write_file(module, copy / "compare" / "factors")
    env = {name: value for name, value in os.environ.items() if name != "STEELYARD_DATA"}
    env |= {"PYTHONPATH": str(folder), "COLUMNS": "120", "NO_COLOR": "1"}
    done = subprocess.run(
        [sys.executable, "-c", RUN, json.dumps(WAYS)], env=env, cwd=folder, capture_output=True, text=True, timeout=120,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def _link(folder, copy):
    """Make a folder that holds what another holds, by links that can be replaced by folders."""
    if copy.is_symlink():
        copy.unlink()
    copy.mkdir(parents=True, exist_ok=True)
    for item in folder.iterdir():
        if item.name != "__pycache__":
            (copy / item.name).symlink_to(item)


@pytest.mark.parametrize("way", [" ".join(words) for words in WAYS[:4]])
def test_one_more_file_is_one_more_row(with_factor, way):
    shown = " ".join(with_factor[way].split())
    assert "Exit cost" in shown
    assert "least money owed or sunk if one stops after half of the horizon" in shown or way == "compare"


def test_the_factor_is_the_last_and_explains_itself(with_factor):
    found = json.loads(with_factor["compare --json"])
    assert [factor["id"] for factor in found["result"]["factors"]][-2:] == ["optimisation_goals", "exit_cost"]
    assert "exit_cost" in found["breakdown"]
    assert "owed after half of the horizon, by route" in with_factor["compare --explain exit_cost"]


def test_the_decision_and_the_page_have_it_too(with_factor):
    assert with_factor["odds"][-1] == "exit_cost"
    assert "owed after half of the horizon, by route" in with_factor["page"]
