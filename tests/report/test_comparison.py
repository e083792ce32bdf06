"""All renderings of one comparison say the same, and none lets a stranger's name do harm."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from typing import Any

import pytest

from steelyard.compare.result import Comparison
from steelyard.errors import InputError
from steelyard.report import explain, figures, html, render, terminal
from steelyard.report.page import own as page_file

HOSTILE = "<script>alert(1)</script>|`*_[red]\x1b[31m```\n# x"
FORMS = [None, "markdown", "html", "json"]


@pytest.mark.parametrize("form", FORMS)
def test_every_form_answers_the_three_questions(comparison: Comparison, form: str | None) -> None:
    shown = render(comparison, form=form).replace("\\", "")
    plain = re.sub(r"\s+", " ", shown)
    sentences = [comparison.advice, comparison.break_even.sentence, *comparison.assumptions, *comparison.not_modelled]
    assert all(sentence in plain for sentence in sentences)
    for summary in comparison.summaries:  # cells of the terminal fold between words
        assert all(word in plain for word in f"{summary.option} {summary.to_rent_or_buy} {summary.why_not}".split())
    for factor in comparison.factors:
        assert all(word in plain for word in f"{factor.title} {factor.route_verdict.criterion}".split())


@pytest.mark.parametrize("form", [None, "markdown", "html"])
def test_every_form_for_people_shows_values_ranges_evidence(comparison: Comparison, form: str | None) -> None:
    shown = re.sub(r"\s+", " ", render(comparison, form=form))
    for words in ("9.6M", "7.7M to 12M", "1,354 Elo", "1/78", "not comparable", "too close to call", "97% of draws"):
        assert words in shown
    for words in ("predicted by the model of work", "cited from a source", "p10 to p90"):
        assert words in shown


@pytest.mark.parametrize("width", [20, 60, 80, 103, 104, 118, 200])
def test_the_terminal_is_not_overrun(comparison: Comparison, width: int) -> None:
    shown = terminal.render(comparison, width=width)
    limit = min(max(width, terminal.MIN_WIDTH), terminal.MAX_WIDTH)
    assert max(map(len, shown.splitlines())) <= limit
    assert all(line == line.rstrip() for line in shown.splitlines())


def test_there_is_colour_only_when_asked(comparison: Comparison, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert "\x1b" not in terminal.render(comparison)
    monkeypatch.delenv("FORCE_COLOR")
    assert "\x1b[" in terminal.render(comparison, colour=True)


@pytest.mark.parametrize("form", [None, "markdown", "html"])
def test_hostile_names_stay_words(make_comparison: Callable[..., Comparison], form: str | None) -> None:
    shown = render(make_comparison(name=HOSTILE, option=HOSTILE), form=form)
    assert "\x1b" not in shown
    assert "\n# x" not in shown
    if form == "html":
        assert "<script>alert(1)" not in shown
        assert "&lt;script&gt;alert(1)&lt;/script&gt;" in shown
    if form == "markdown":
        assert "<script>" not in shown.replace("\\<script\\>", "")
        assert "[red]" not in shown.replace("\\[red\\]", "")


class Page(HTMLParser):
    """Collects what a page opens and asks of other hosts."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.outside: list[str] = []
        self.ids: list[str] = []
        self.words = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in ("meta", "br"):
            self.open.append(tag)
        for name, value in attrs:
            if name in ("src", "href", "action", "srcset", "data") or (value and "url(" in value):
                self.outside.append(f"{name}={value}")
            if name == "id" and value:
                self.ids.append(value)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "script" not in self.open and "style" not in self.open:
            self.words += data


def test_the_page_is_whole_and_asks_nothing_of_other_hosts(make_comparison: Callable[..., Comparison]) -> None:
    shown = html.render(make_comparison(name=HOSTILE))
    page = Page()
    page.feed(shown)
    page.close()
    assert page.open == []
    assert page.outside == []
    assert "default-src 'none'" in shown
    assert "@import" not in page_file("page.css")
    assert set(html.PLOTS) <= set(page.ids)
    assert shown.count("</script>") == 3  # data, Plotly, our own: none from a name


def test_the_page_keeps_its_trees_folded(comparison: Comparison) -> None:
    shown = html.render(comparison)
    assert shown.count("<details>") == len(comparison.factors)
    assert "requests x price" in shown


def plots(comparison: Comparison) -> dict[str, Any]:
    return json.loads(json.dumps(figures.figures(comparison), allow_nan=False))


def test_plots_hold_every_route_and_mark_the_crossing(comparison: Comparison) -> None:
    drawn = plots(comparison)
    assert set(drawn) == set(html.PLOTS)
    load = drawn["cost-by-load"]
    assert {line["name"] for line in load["data"]} == {"api", "serve", "pretrain"}
    assert [mark["x0"] for mark in load["layout"]["shapes"]] == [2.1e8, 608_750.0]
    assert load["layout"]["annotations"][0]["x"] == pytest.approx(math.log10(2.1e8))
    months = [line for line in drawn["cumulative-cost"]["data"] if line.get("name")]
    assert len(months) == len(comparison.summaries)
    total = drawn["total-cost"]["data"][0]
    assert total["y"][-1] == "pretrain (out)"
    assert all(low < mid for low, mid in zip(total["error_x"]["arrayminus"], total["x"], strict=True))


def test_plots_of_nothing_are_left_out(comparison: Comparison) -> None:
    bare = tuple(
        replace(item, monthly_usd=(), cumulative_usd=(), total_usd=None, first_month_usd=None, in_running=False)
        for item in comparison.summaries
    )
    even = replace(comparison.break_even, segments=(), usd_per_month={})
    nothing = replace(comparison, summaries=bare, break_even=even)
    assert plots(nothing) == {}
    for form in FORMS:
        assert render(nothing, form=form)


def test_infinite_and_zero_costs_can_be_drawn(comparison: Comparison) -> None:
    even = replace(comparison.break_even, usd_per_month={"api": (0.0, 1.0, 2.0, 3.0, 4.0, 5.0, math.inf)})
    costs = plots(replace(comparison, break_even=even))["cost-by-load"]["data"][0]["y"]
    assert costs == [None, 1.0, 2.0, 3.0, 4.0, 5.0, None]


def test_the_document_is_strict_json_with_all_its_parts(comparison: Comparison) -> None:
    def refuse(name: str) -> float:
        raise AssertionError(name)

    found = json.loads(render(comparison, form="json"), parse_constant=refuse)
    assert list(found) == ["schema", "steelyard_version", "inputs", "result", "breakdown", "sources", "warnings"]
    assert found["result"]["break_even"]["segments"][-1]["to_requests_per_month"] is None
    assert found["result"]["routes"][0]["total_usd"]["p50"] == comparison.summaries[0].total_usd.p50  # type: ignore[union-attr]
    assert set(found["breakdown"]) == {factor.id for factor in comparison.factors}
    assert found["warnings"] == list(comparison.warnings)
    assert [source["id"] for source in found["sources"]] == list(comparison.sources)


def test_a_tree_shows_label_value_formula_source(comparison: Comparison) -> None:
    shown = explain.render(comparison, "compute_cost")
    assert "Compute cost, inference over training: 1/78" in shown
    assert "= serving / run" in shown
    assert "  serving: 12.3k USD" in shown
    assert "source: api-prices-2026-11 (2026-11-22, published)" in shown
    assert "route chosen: api" in shown


@pytest.mark.parametrize("asked", ["Compute Cost", "compute-cost", " COMPUTE_COST "])
def test_a_factor_is_found_however_it_is_written(comparison: Comparison, asked: str) -> None:
    assert explain.render(comparison, asked) == explain.render(comparison, "compute_cost")


def test_an_unknown_factor_names_the_nearest(comparison: Comparison) -> None:
    with pytest.raises(InputError, match="nearest: scalability"):
        explain.render(comparison, "scalabilty")


def test_routes_that_were_not_asked_for_take_no_room(comparison: Comparison) -> None:
    hosted = comparison.summaries[1]
    absent = replace(
        hosted, option="", first_month_usd=None, monthly_usd=(), cumulative_usd=(), in_running=False, why_not="no route"
    )
    fewer = replace(comparison, summaries=(comparison.summaries[0], absent, *comparison.summaries[2:]))
    assert "hosted finetune" not in terminal.render(fewer)
