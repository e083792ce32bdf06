"""Tables: what a row must carry, how it is read, and that the shipped ones hang together."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from steelyard import catalog
from steelyard.catalog.schema import schemas
from steelyard.errors import CatalogError, UnknownError

Edit = Callable[[str, str, str], None]
NAME = "tables/api_prices.csv"


def mine() -> catalog.Row:
    (row,) = catalog.table("api_prices").where(provider="Nobody")
    return row


def test_a_row_gives_text_and_figures_in_si(user_data: Path) -> None:
    row = mine()
    assert row["model"] == "made-up-api"
    assert row.get("retires", "none") == "none"
    assert row.value("input") == pytest.approx(2e-6)  # 2 USD per million tokens
    assert (row.source, row.as_of, row.basis, row.origin) == (
        "made-up",
        date(2026, 10, 1),
        "published",
        "user",
    )
    output, cached = row.figure("output"), row.figure("cached_input")
    assert output is not None
    assert output.basis == "published"
    assert cached is not None
    assert cached.basis == "assumed"  # listed in the column `assumed`


def test_an_empty_cell_is_not_stated_and_never_0(edit: Edit) -> None:
    edit(NAME, "2,6,0.2,", "2,6,,")
    assert mine().figure("cached_input") is None
    with pytest.raises(CatalogError, match="line 2: cached_input is not stated"):
        mine().value("cached_input")


REFUSED = [
    ("2,6,0.2,", ",6,0.2,", "line 2: has no input"),
    ("nobody,", ",", "line 2: has no provider"),
    ("made-up,2026", ",2026", "line 2: has no source"),
    ("2026-10,", ",", "line 2: has no as_of"),
    ("2026-10,", "2026-40,", "line 2: .*not a date"),
    ("published,", ",", "line 2: has no basis"),
    ("published,", "rumour,", "line 2: input: basis 'rumour' is unknown"),
    ("published,", "assumed,", "line 2: input: is assumed and needs a note"),
    ("published,", "estimated,", "line 2: input: is estimated and needs low and high"),
    ("made-up,2026", "nowhere,2026", "line 2: unknown source 'nowhere'"),
    (",2,6,", ",nan,6,", "line 2: input: nan is not a finite number"),
    (",2,6,", ",two,6,", "line 2: input: 'two' is not a number"),
    (",2,6,", ",2e6,6,", "line 2: input: .* is outside the plausible range"),
    (
        "input [USD/Mtoken]",
        "input [USD/h]",
        "line 2: input: 'USD/h' is a unit of usd_per_s, not of usd_per_token",
    ),
    (
        "input [USD/Mtoken]",
        "input [USD/Mtoken",
        "x",
    ),
    ("input [USD/Mtoken]", "price [USD/Mtoken]", "column 'price': is no figure of this table"),
    ("note\n", "remark\n", "column 'remark': is unknown"),
    ("cached_input,\n", "cached_inptu,\n", "assumed names 'cached_inptu'"),
    ("cached_input,\n", "cached_input\n", "line 2: 9 cells, the header has 10"),
    ("nobody,", '"nobody,', "line .: is not valid CSV"),
    ("provider,model", "provider,provider", "two columns have the same name"),
    ("provider,", "", "line 2: 10 cells|has no column 'provider'"),
    ("output [USD/Mtoken]", "retires", "has no column 'output'"),
]


@pytest.mark.parametrize(("old", "new", "message"), [case for case in REFUSED if case[2] != "x"])
def test_a_broken_row_is_refused_in_one_line(edit: Edit, user_data: Path, old: str, new: str, message: str) -> None:
    edit(NAME, old, new)
    with pytest.raises(CatalogError, match=message) as caught:
        catalog.table("api_prices")
    assert "\n" not in str(caught.value)
    assert str(user_data) in str(caught.value)


def test_a_users_row_replaces_the_shipped_one_with_the_same_key(user_data: Path) -> None:
    shipped = next(row for row in catalog.table("api_prices").rows if row.origin == "shipped")
    line = f"{shipped['provider']},{shipped['model']},1,1,,made-up,2026-10,published,,my contract\n"
    with (user_data / NAME).open("a") as file:
        file.write(line)
    catalog.refresh()
    (row,) = catalog.table("api_prices").where(provider=shipped["provider"], model=shipped["model"])
    assert (row.origin, row["note"]) == ("user", "my contract")
    assert row.value("input") == pytest.approx(1e-6)  # 1 USD per million tokens


def test_a_table_without_rules_or_file_is_named(user_data: Path) -> None:
    with pytest.raises(UnknownError, match=r"unknown table 'api_price' .nearest: api_prices"):
        catalog.table("api_price")
    (user_data / "tables" / "lunches.csv").write_text("a,b\n1,2\n")
    with pytest.raises(CatalogError, match=r"lunches.csv: there is no table of this name"):
        catalog.table("lunches")


def test_asking_for_a_column_that_cannot_be_is_an_error() -> None:
    with pytest.raises(KeyError, match="no text column 'modle'"):
        catalog.table("api_prices").where(modle="x")


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(junk=st.text(alphabet='a,"\n\r[]0;é\x00', max_size=60))
def test_no_text_ever_ends_in_a_traceback(user_data: Path, junk: str) -> None:
    (user_data / NAME).write_text(junk)
    catalog.refresh()
    with pytest.raises(CatalogError) as caught:
        catalog.table("api_prices")
    assert "\n" not in str(caught.value)


def test_every_table_has_rules_and_every_rule_a_table() -> None:
    assert set(catalog.table_names()) == set(schemas("tables/schema.toml"))


def test_devices_named_by_tables_are_accelerators() -> None:
    for name in catalog.table_names():
        for row in catalog.table(name).rows:
            for column in ("device", "dedicated_device"):
                if row.get(column):
                    assert row[column] in catalog.accelerators(), row.where


def test_scores_of_two_benchmarks_never_mix() -> None:
    first = catalog.benchmarks()[0]
    rows = catalog.quality_scores(first)
    assert rows
    assert {row["benchmark"] for row in rows} == {first}
    with pytest.raises(UnknownError, match="unknown benchmark"):
        catalog.quality_scores("no-such-benchmark")
