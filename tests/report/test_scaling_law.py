"""A measured law becomes a record of the user's catalogue, which training uses by its name."""

from datetime import date

import numpy as np
import pytest

from steelyard import catalog
from steelyard.measure.scaling_law import LossPoint, ScalingLaw
from steelyard.report.scaling_law import law_json, law_row, law_source, law_table, with_row
from steelyard.training import get_law, laws

DRAWS = np.array([[1.5, 60.0, 200.0, 0.35, 0.4], [1.4, 50.0, 210.0, 0.33, 0.41], [1.6, 70.0, 190.0, 0.36, 0.39]])
LAW = ScalingLaw(
    draws=DRAWS,
    points=tuple(LossPoint(params=1e5 * n, tokens=2e5 * n, loss_nats=5.0 - n / 10) for n in range(1, 9)),
    residual_ratio=0.01,
)


@pytest.fixture
def data(tmp_path, monkeypatch):
    monkeypatch.setenv("STEELYARD_DATA", str(tmp_path))
    yield tmp_path
    monkeypatch.undo()
    catalog.refresh()
    laws.cache_clear()


def test_a_saved_law_is_one_of_the_catalogue(data):
    (data / "tables").mkdir()
    (data / "sources.d").mkdir()
    table = with_row("", law_row(LAW, "older", text="old texts", day=date(2026, 1, 2)))
    table = with_row(table, law_row(LAW, "ours", text='my "texts"', day=date(2026, 1, 2)))
    table = with_row(table, law_row(LAW, "ours", text="my texts", day=date(2026, 1, 3)))  # measured again
    (data / "tables" / "scaling_laws.csv").write_text(table)
    for name in ("older", "ours"):
        (data / "sources.d" / f"{name}.toml").write_text(law_source(name, 'my "texts"'))
    catalog.refresh()
    laws.cache_clear()
    assert not [issue for issue in catalog.check(date(2027, 1, 4)) if issue.level == "error"]
    law = get_law("ours")
    assert (law.E, law.A, law.B, law.alpha, law.beta) == (1.5, 60.0, 200.0, 0.35, 0.4)
    assert "older" in laws()
    assert len(table.splitlines()) == 3


def test_the_table_shows_the_runs_the_law_and_what_was_asked():
    text = law_table(LAW, [(1e9, 2e10)])
    # 1.5 + 60 / 1e9^0.35 + 200 / 2e10^0.4 = 1.5 + 0.0425 + 0.0151
    for words in ("800k params", "4.200 nats/token", "alpha", "1.558 nats/token", "1.0% off"):
        assert words in text, words
    assert '"schema": "steelyard/measure-scaling-law/1"' in law_json(LAW, inputs={}, asked=[(1e9, 2e10)])
