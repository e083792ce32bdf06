"""The check: ages, dates to come, disagreements, assumptions, broken files."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from pathlib import Path

from steelyard import catalog

TODAY = date(2026, 11, 26)
Edit = Callable[[str, str, str], None]


def found(record: str, today: date = TODAY) -> list[tuple[str, str, str]]:
    return [(issue.level, issue.field, issue.message) for issue in catalog.check(today) if issue.record == record]


def test_the_shipped_catalogue_has_no_error() -> None:
    assert [issue for issue in catalog.check(TODAY) if issue.level == "error"] == []


def test_old_figures_are_a_warning(user_data: Path) -> None:
    assert found("made-up-1") == []
    # Accelerators age after 730 days; 2026-10-01 + 730 days = 2028-09-30.
    assert found("made-up-1", date(2028, 9, 30)) == []
    ((level, field, message),) = found("made-up-1", date(2028, 10, 1))
    assert (level, field) == ("warning", "hbm_bytes")
    assert message == "7 of 7 are older than 730 days, the oldest of 2026-10-01"


def test_a_date_to_come_is_an_error(user_data: Path) -> None:
    levels = {level for level, _, _ in found("made-up-1", date(2026, 9, 30))}
    assert levels == {"error"}


def test_disagreement_and_assumption_are_reported(edit: Edit) -> None:
    edit("accelerators/made-up-1.toml", "value = 10, ", "value = 10, other = { made-up = 12 }, ")
    edit(
        "accelerators/made-up-1.toml",
        'value = 100, unit = "W"',
        'value = 100, unit = "W", basis = "assumed", note = "x"',
    )
    assert found("made-up-1") == [
        ("warning", "hbm_bytes", "sources disagree: made-up has 12 GB"),
        ("note", "", "1 of 7 figures are assumed: tdp_w"),
    ]


def test_an_assumed_configuration_says_why(edit: Edit) -> None:
    assert found("made-up-7b") == []
    edit("models/made-up-7b.toml", 'basis = "published"', 'basis = "assumed"\nnote = "its file was not read"')
    assert found("made-up-7b") == [("note", "config", "is assumed: its file was not read")]


def test_what_was_read_nowhere_is_assumed() -> None:
    for name, model in catalog.models().items():
        assert model.basis == "assumed" or "not-read" not in model.source.split(" + "), name
    for name in catalog.table_names():
        for row in catalog.table(name).rows:
            for column, figure in row.figures.items():
                assert figure.basis == "assumed" or "not-read" not in figure.source.split(" + "), (name, column)


def test_a_broken_file_is_an_error_and_the_rest_is_still_checked(edit: Edit) -> None:
    edit("models/made-up-7b.toml", 'id = "made-up-7b"', 'id = "x"')
    errors = [issue for issue in catalog.check(TODAY) if issue.level == "error"]
    assert [issue.kind for issue in errors] == ["models"]
    assert "made-up-7b.toml: id is 'x'" in errors[0].message
    assert any(issue.kind == "accelerators" for issue in catalog.check(TODAY))


def test_a_folder_that_is_never_read_is_told(user_data: Path) -> None:
    (user_data / "accelerator").mkdir()
    (issue,) = (issue for issue in catalog.check(TODAY) if issue.kind == "folder")
    assert issue.record.endswith("/accelerator")
    assert "accelerators" in issue.message


def test_a_source_that_nothing_cites_is_a_note(user_data: Path) -> None:
    with (user_data / "sources.d/mine.toml").open("a") as file:
        file.write('\n[[source]]\nid = "idle"\ntitle = "Cited by nothing"\n')
    catalog.refresh()
    assert found("idle") == [("note", "", "no figure cites it")]
