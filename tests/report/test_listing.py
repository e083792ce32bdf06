from __future__ import annotations

import json
from datetime import date

from steelyard.catalog import Description, FigureLine, Issue
from steelyard.report import listing

FIGURE = FigureLine(
    field="hbm_bytes", value=8e10, unit="bytes", basis="published", as_of=date(2023, 3, 1), source="a + b",
    title="A; B", low=7e10, high=9e10, note="as printed",
)  # fmt: skip
RECORD = Description(kind="accelerators", id="x", name="X", origin="user", facts={"vendor": "Y"}, figures=(FIGURE,))


def test_off_a_terminal_a_record_is_one_line_however_long() -> None:
    rows = [{"id": f"r{i}", "note": "word " * 200, "empty": ""} for i in range(3)]
    lines = listing.table(rows).splitlines()
    assert len(lines) == 2 + 3
    assert "empty" not in lines[0]


def test_on_a_terminal_a_table_is_folded() -> None:
    lines = listing.table([{"id": "a", "note": "word " * 200}], width=60).splitlines()
    assert len(lines) > 10
    assert max(map(len, lines)) <= 60


def test_no_records_are_said_to_be_none() -> None:
    assert listing.table([]) == "nothing\n"


def test_a_description_shows_the_whole_provenance() -> None:
    shown = listing.description(RECORD)
    for words in ("X\n", "user", "vendor: Y", "80 GB", "70 GB to 90 GB", "published", "2023-03-01", "a + b", "printed"):
        assert words in shown


def test_issues_are_counted_by_level() -> None:
    rows = [
        listing.issue_row(Issue(level=level, kind="k", record="r", field="f", message="m"))
        for level in ("error", "warning", "warning")
    ]
    assert listing.issues(rows).splitlines()[-1] == "1 error, 2 warnings, 0 notes"
    assert listing.issues([]) == "0 errors, 0 warnings, 0 notes\n"


def test_a_document_spells_out_the_sources_cited() -> None:
    found = json.loads(listing.as_json("show", "x", RECORD.to_dict()))
    assert found["schema"] == "steelyard/catalog-show/1"
    assert [source["id"] for source in found["sources"]] == ["a", "b"]
