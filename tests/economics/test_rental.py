from __future__ import annotations

from datetime import date

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from steelyard import catalog, economics
from steelyard.catalog import Row, Table
from steelyard.catalog.memory import forget
from steelyard.catalog.schema import Schema
from steelyard.economics.rental import current_rows
from steelyard.errors import UnknownError
from steelyard.records.figure import Figure
from steelyard.records.term import explain

H100 = "h100-sxm5-80gb"
COLUMNS = ("provider", "device", "kind")


def offer(provider: str, usd_per_h: float, day: str, kind: str = "on_demand", device: str = H100) -> Row:
    as_of = date.fromisoformat(day)
    price = Figure(value=usd_per_h / 3600, unit="usd_per_device_s", source="list", as_of=as_of, basis="published")
    text = {"provider": provider, "device": device, "kind": kind, "source": "list", "basis": "published"}
    return Row(table="gpu_prices", text=text, figures={"price": price}, as_of=as_of, where="test")


@pytest.fixture
def prices(monkeypatch):
    def use(*rows: Row) -> None:
        table = Table(name="gpu_prices", rows=rows, schema=Schema(figures={}, text=COLUMNS))
        monkeypatch.setattr(catalog, "table", lambda name: table)
        forget()

    yield use
    monkeypatch.undo()
    forget()


def per_hour(price: economics.RentalPrice) -> list[float]:
    return [round(float(value) * 3600, 6) for value in price.provider_usd_per_device_s]


def test_newest_price_of_each_provider_counts(prices):
    prices(
        offer("a", 3.0, "2025-06-01"),
        offer("A", 4.0, "2026-01-01"),  # the same provider, raised
        offer("b", 2.0, "2026-01-01"),
        offer("b", 2.5, "2026-01-01"),  # of one day, the lowest
    )
    price = economics.rental_price(H100)
    assert per_hour(price) == [2.0, 4.0]
    assert price.usd_per_device_s * 3600 == pytest.approx(3.0)  # median of 2 and 4
    assert price.low_usd_per_device_s * 3600 == pytest.approx(2.2)  # 2 + 0.1 * (4 - 2)
    assert price.high_usd_per_device_s * 3600 == pytest.approx(3.8)
    assert price.as_of == date(2026, 1, 1)


def test_stale_prices_go_only_when_enough_are_newer(prices):
    old, new = offer("old", 9.0, "2024-01-01"), [offer(name, 2.0, "2026-01-01") for name in "ab"]
    prices(old, *new)
    assert per_hour(economics.rental_price(H100)) == [2.0, 2.0, 9.0]
    prices(old, *new, offer("c", 2.0, "2025-12-01"))
    assert per_hour(economics.rental_price(H100)) == [2.0, 2.0, 2.0]


def test_as_of_looks_back(prices):
    prices(offer("a", 1.0, "2023-01-01"), offer("a", 4.0, "2026-01-01"))
    assert per_hour(economics.rental_price(H100, as_of=date(2023, 3, 15))) == [1.0]
    with pytest.raises(
        UnknownError, match=r"no on_demand price as of 2022-12-31; it has on_demand \(from 2023-01-01\)"
    ):
        economics.rental_price(H100, as_of=date(2022, 12, 31))


def test_reserved_kinds_take_what_providers_print(prices):
    prices(
        offer("a", 3.0, "2026-01-01"),
        offer("a", 2.0, "2026-01-01", "reserved_1y"),
        offer("b", 1.8, "2026-01-01", "reserved_1y_3y"),
        offer("c", 1.5, "2026-01-01", "reserved_5y"),
        offer("d", 1.0, "2026-01-01", "spot"),
    )
    assert per_hour(economics.rental_price(H100, "reserved_1y")) == [1.8, 2.0]
    assert per_hour(economics.rental_price(H100, "reserved_3y")) == [1.5, 1.8]
    # contract: the lowest firm price of each provider, never spot
    assert per_hour(economics.rental_price(H100, "contract")) == [1.5, 1.8, 2.0]
    with pytest.raises(UnknownError, match=r"unpriced.*on_demand.*reserved_1y.*spot"):
        economics.rental_price(H100, "dedicated_inference")


def test_contract_leaves_stale_reservations_out(prices):
    now = [offer(name, 3.0, "2026-01-01") for name in "abc"]
    prices(*now, offer("a", 1.0, "2024-01-01", "reserved_3y"), offer("d", 1.0, "2024-01-01", "reserved_3y"))
    assert per_hour(economics.rental_price(H100, "contract")) == [3.0, 3.0, 3.0]


def test_unpriced_device_says_what_to_do(prices):
    prices(offer("a", 1.0, "2026-01-01", device="other"))
    with pytest.raises(UnknownError, match=r"unpriced: h100-sxm5-80gb.*prices\.devices"):
        economics.rental_price(H100)


def test_one_provider(prices):
    prices(offer("nebius", 4.5, "2026-01-01"), offer("lambda", 3.9, "2026-01-01"))
    price = economics.rental_price(H100, provider="Nebius")
    assert per_hour(price) == [4.5]
    with pytest.raises(UnknownError, match="nebius"):
        economics.rental_price(H100, provider="nebios")


def test_draws_are_provider_prices_and_a_stated_price_is_a_point(prices):
    prices(offer("a", 2.0, "2026-01-01"), offer("b", 4.0, "2026-01-01"))
    drawn = economics.rental_price(H100).draws(np.random.default_rng(0), 1000) * 3600
    assert set(np.round(drawn, 6)) == {2.0, 4.0}
    assert 400 < (np.round(drawn, 6) == 2.0).sum() < 600
    stated = economics.stated_price(3e-4, device_id=H100, kind="on_demand", as_of=date(2026, 1, 1))
    assert (stated.draws(np.random.default_rng(0), 5) == 3e-4).all()


def test_explanation_names_every_provider(prices):
    prices(offer("a", 2.0, "2026-01-01"), offer("b", 4.0, "2026-01-01"))
    labels = [term.label for term in explain(economics.rental_price(H100)).walk()]
    assert {"a", "b"} <= set(labels)


@given(st.floats(0, 1e9), st.floats(0, 1), st.floats(0, 100))
@settings(max_examples=30, deadline=None)
def test_rent_is_linear_in_price_and_time(device_s, price, factor):
    base = economics.rental_cost_usd(device_s, price)
    assert economics.rental_cost_usd(device_s, price * factor) == pytest.approx(base * factor)
    assert economics.rental_cost_usd(device_s * factor, price) == pytest.approx(base * factor)


@given(st.lists(st.tuples(st.sampled_from("abcdef"), st.floats(0.1, 20), st.integers(0, 2000)), min_size=1))
@settings(max_examples=40, deadline=None)
def test_one_row_a_provider_and_never_none(offers):
    day = date(2026, 1, 1)
    rows = [offer(name, price, date.fromordinal(day.toordinal() - age).isoformat()) for name, price, age in offers]
    kept = current_rows(rows, day)
    names = [row["provider"] for row in kept]
    assert kept
    assert len(names) == len(set(names))
    newest = {name: min(age for other, _, age in offers if other == name) for name in names}  # of one kind
    assert all((day - row.as_of).days == newest[row["provider"]] for row in kept)
