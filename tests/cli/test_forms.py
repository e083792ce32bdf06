"""Every command that predicts, plans or simulates has Markdown and a page with plots."""

import json
from html.parser import HTMLParser

import pytest

from steelyard.cli.main import run

SERVE = ("--model", "llama-3.1-8b", "--on", "h100")
TRAIN = ("--model", "llama-3.1-8b", "--on", "h100", "--tokens", "1T")
COMMANDS = {
    "simulate serve": (*SERVE, "--requests", "2000", "--rate", "5", "--draws", "2"),
    "predict serve": (*SERVE, "--isl", "1000", "--osl", "200", "--concurrency", "8"),
    "plan serve": (*SERVE, "--devices", "1", "--isl", "1000", "--osl", "100", "--tpot", "40ms", "--draws", "0"),
    "predict train": (*TRAIN, "--devices", "64", "--layout", "dp=64,zero=2"),
    "plan train": (*TRAIN, "--devices", "16,32", "--tp", "1", "--pp", "1", "--cp", "1"),
}
PLOTS = {
    "simulate serve": {"How latencies are spread", "KV cache in use", "Output", "Replicas paid", "Time to first token"},
    "predict serve": {"What more users get", "Where a step goes"},
    "plan serve": {"A user against a device", "Money against TTFT"},
    "predict train": {"Where a step goes", "Memory of a device"},
    "plan train": {"Days against money"},
}
ENDINGS = {"markdown": ".md", "html": ".html"}


class Page(HTMLParser):
    """Collects headings, and what a page asks of other hosts."""

    def __init__(self):
        super().__init__()
        self.open, self.headings, self.outside, self.places, self.data = [], [], [], [], ""

    def handle_starttag(self, tag, attrs):
        if tag not in ("meta", "br"):
            self.open.append(tag)
        held = dict(attrs)
        self.outside += [name for name in ("src", "href", "action") if name in held]
        if held.get("class") == "plot":
            self.places.append(held["id"])
        self.reads_plots = held.get("id") == "plots"

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] in ("h1", "h2", "h3"):
            self.headings.append(data)
        if self.open and self.open[-1] == "script" and self.reads_plots:
            self.data += data


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Every command in every form: command -> form -> what the file holds."""
    folder = tmp_path_factory.mktemp("forms")
    found = {}
    for command, arguments in COMMANDS.items():
        found[command] = {}
        for form, ending in ENDINGS.items():
            file = folder / f"{command.replace(' ', '-')}{ending}"
            assert run([*command.split(), *arguments, "-o", str(file)]) == 0
            found[command][form] = file.read_text(encoding="utf-8")
    return found


@pytest.mark.parametrize("command", COMMANDS)
def test_a_page_is_whole_and_holds_its_plots(made, command):
    page = Page()
    page.feed(made[command]["html"])
    page.close()
    assert page.open == []
    assert page.outside == []
    assert PLOTS[command] <= set(page.headings)
    drawn = json.loads(page.data)
    assert set(drawn) == set(page.places)
    for plot in drawn.values():
        assert any(len(line.get("x") or []) for line in plot["data"])
        assert plot["layout"]["xaxis"]["title"]["text"]


@pytest.mark.parametrize("command", COMMANDS)
def test_markdown_has_tables_and_sources(made, command):
    told = made[command]["markdown"]
    assert told.startswith("# ")
    tables = [line for line in told.splitlines() if line.startswith("|")]
    assert len({line.count(" | ") for line in tables if " --- " in line}) >= 1
    assert told.count("\n## ") >= 2
    assert "\n## Sources" in told


def test_forms_exclude_trees(capsys):
    assert run(["predict", "serve", *COMMANDS["predict serve"], "--html", "--explain"]) == 2
    assert "exclude each other" in capsys.readouterr().err
