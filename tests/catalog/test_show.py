"""Lists and descriptions: a made-up record of each kind shows up, with its provenance and its origin."""

from __future__ import annotations

from pathlib import Path

import pytest

from steelyard import catalog
from steelyard.errors import UnknownError


@pytest.mark.parametrize(
    ("kind", "cell", "text"),
    [
        ("accelerators", "id", "made-up-1"),
        ("models", "id", "made-up-7b"),
        ("workloads", "id", "made-up-load"),
        ("api_prices", "model", "made-up-api"),
    ],
)
def test_a_record_of_the_user_is_listed_and_labelled(user_data: Path, kind: str, cell: str, text: str) -> None:
    (row,) = (row for row in catalog.listing(kind) if row[cell] == text)
    assert row["origin"] == "user"
    assert {"shipped", "user"} == {row["origin"] for row in catalog.listing(kind)}
    assert catalog.describe(text).origin == "user"


def test_sources_and_calibration_of_the_user_are_listed(user_data: Path) -> None:
    assert any(row["id"] == "made-up" for row in catalog.listing("sources"))
    assert catalog.calibration("device")["matmul_ratio"].value == 0.5
    assert catalog.describe("made-up").name == "A made-up datasheet"


def test_a_description_has_every_figure_with_its_whole_provenance(user_data: Path) -> None:
    lines = {line.field: line for line in catalog.describe("MU1").figures}
    memory = lines["hbm_bytes"].to_dict()
    assert memory == {
        "field": "hbm_bytes",
        "value": 10e9,
        "unit": "bytes",
        "basis": "published",
        "as_of": "2026-10-01",
        "source": "made-up",
        "title": "A made-up datasheet",
        "low": None,
        "high": None,
        "note": "",
    }
    assert set(lines) == set(catalog.accelerator("mu1").figures)


def test_rows_are_found_by_their_key_cells(user_data: Path) -> None:
    found = catalog.describe("nobody/made-up-api", "api_prices")
    assert [line.field for line in found.figures] == [
        f"api_prices nobody/made-up-api {name}" for name in ("input", "output", "cached_input")
    ]
    assert found.to_dict()["figures"][2]["basis"] == "assumed"


def test_a_listing_marks_what_is_assumed(user_data: Path) -> None:
    (row,) = (row for row in catalog.listing("api_prices") if row["model"] == "made-up-api")
    assert row["input"] == "2 USD/Mtoken"
    assert row["cached_input"] == "0.2 USD/Mtoken (assumed)"


def test_every_kind_can_be_listed() -> None:
    for kind in catalog.kinds():
        assert catalog.listing(kind), kind


def test_unknown_names_get_the_nearest() -> None:
    with pytest.raises(UnknownError, match="nearest: accelerators"):
        catalog.listing("accelerator")
    with pytest.raises(UnknownError, match=r"nearest: .*h100"):
        catalog.describe("h100-smx")
    with pytest.raises(UnknownError, match="unknown kind of record"):
        catalog.describe("h100", "gpus")
    with pytest.raises(UnknownError, match="unknown models 'h100'"):
        catalog.describe("h100", "models")
