"""The generated pages are those committed, and name every source and every attribution owed."""

from __future__ import annotations

from pathlib import Path

import pytest

from steelyard import catalog
from steelyard.catalog import pages
from steelyard.records.figure import Source

ROOT = Path(__file__).parents[2]
HINT = "run `python -m steelyard.catalog.pages` in the root of the project"


def test_the_committed_pages_are_current() -> None:
    assert (ROOT / "docs/reference/sources.md").read_text(encoding="utf-8") == pages.sources_page(), HINT
    assert (ROOT / "NOTICE").read_text(encoding="utf-8") == pages.notice(), HINT


def test_every_source_stands_on_the_page_and_credit_is_given_where_owed() -> None:
    page, notice = pages.sources_page(), pages.notice()
    for source in catalog.sources().values():
        assert f"| `{source.id}` |" in page
        assert (f"- {source.title}\n" in notice) == pages.owes_credit(source)


def test_a_users_own_sources_stay_out_of_the_project_pages(user_data: Path) -> None:
    assert "made-up" not in pages.sources_page()


@pytest.mark.parametrize(
    ("licence", "note", "owed"),
    [
        ("CC-BY-4.0", "", True),
        ("CC BY-SA 4.0", "", True),
        ("", "published under CC-BY 4.0", True),
        ("MIT", "", False),
    ],
)
def test_credit_is_owed_to_attribution_licences(licence: str, note: str, owed: bool) -> None:
    assert pages.owes_credit(Source(id="x", title="x", licence=licence, note=note)) is owed


def test_both_files_are_written(tmp_path: Path) -> None:
    pages.main(str(tmp_path))
    assert (tmp_path / "docs/reference/sources.md").read_text(encoding="utf-8") == pages.sources_page()
    assert (tmp_path / "NOTICE").exists()
