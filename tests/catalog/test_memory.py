from __future__ import annotations

import pytest

from steelyard import economics
from steelyard.catalog.memory import forget, remembered
from steelyard.errors import UnknownError


def test_an_answer_is_made_once_until_the_folders_change(monkeypatch, tmp_path):
    asked = []

    @remembered
    def twice(name: str) -> list[str]:
        asked.append(name)
        return [name, name]

    assert twice("a") is twice("a")
    monkeypatch.setenv("STEELYARD_DATA", str(tmp_path))
    twice("a")
    forget()
    twice("a")
    assert asked == ["a", "a", "a"]


def test_what_is_raised_is_raised_again():
    for _ in range(2):
        with pytest.raises(UnknownError, match="nowhere"):
            economics.electricity_price("nowhere")


def test_a_price_of_the_users_own_counts_at_once(monkeypatch, tmp_path):
    before = economics.api_price("openai/gpt-4o").input_usd_per_token
    (tmp_path / "tables").mkdir()
    (tmp_path / "tables" / "api_prices.csv").write_text(
        "provider,model,input[USD/Mtoken],output[USD/Mtoken],source,as_of,basis\n"
        "openai,gpt-4o,7,8,own,2026-01-01,published\n"
    )
    (tmp_path / "sources.d").mkdir()
    (tmp_path / "sources.d" / "own.toml").write_text('[[source]]\nid = "own"\ntitle = "our contract"\n')
    monkeypatch.setenv("STEELYARD_DATA", str(tmp_path))
    assert economics.api_price("openai/gpt-4o").input_usd_per_token == pytest.approx(7e-6)
    monkeypatch.delenv("STEELYARD_DATA")
    assert economics.api_price("openai/gpt-4o").input_usd_per_token == before
