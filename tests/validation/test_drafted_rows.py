"""Runs that were published with and without multi-token prediction: how much faster it makes a token."""

import collections

import numpy as np
import pytest

from steelyard import catalog
from steelyard.inference import Speculation, under_load
from steelyard.validation.inference.points import read, read_run

PROPOSED = {"sglang": 2, "tensorrt-llm": 3}  # as the suite starts them without data-parallel attention
CELL = ("model_id", "device", "engine", "weights_dtype", "tp", "dp", "ep", "isl", "osl", "load_value")


@pytest.fixture(scope="module")
def twins():
    """Rows of one set-up and load: [plain, drafted]."""
    cells = collections.defaultdict(lambda: ([], []))
    for row in catalog.published("inference").rows:
        of_suite = row["model_id"] == "deepseek-r1" and "benchmark dumps" in row["source"] and row["dp"] == "1"
        versions = row["engine_version"].startswith(("1.2.0rc6", "0.5.9"))
        if of_suite and versions and row["metric"].startswith("tpot"):
            cells[tuple(row[name] for name in CELL)]["speculative decoding" in row["notes"]].append(row)
    return [pair for pair in cells.values() if all(pair)]


def speed_up(pair):
    """Measured and predicted TPOT without a draft over that with one."""
    run = read_run(pair[0][0])
    draft = Speculation(tokens=PROPOSED[run.engine.name])
    plain, drafted = (
        float(
            under_load(
                run.model, run.device, run.deployment, isl_tokens=run.isl_tokens, osl_tokens=run.osl_tokens,
                users=run.load, engine=run.engine, speculation=speculation,
            ).tpot_s
        )
        for speculation in (None, draft)
    )  # fmt: skip
    measured = [np.median([float(row["value"]) for row in rows]) for rows in pair]
    return measured[0] / measured[1], plain / drafted


def test_a_draft_helps_about_as_much_as_it_was_measured_to(twins):
    assert len(twins) >= 30
    measured, predicted = np.array([speed_up(pair) for pair in twins]).T
    assert (measured > 1.05).all()
    miss = np.abs(predicted / measured - 1.0)
    assert np.median(miss) <= 0.2
    assert np.median(np.abs(1.0 / measured - 1.0)) > 1.5 * np.median(miss)  # than to say that it changes nothing
    assert np.corrcoef(measured, predicted)[0, 1] > 0.3


def test_rows_that_ran_with_a_draft_are_not_predicted_as_plain_ones(twins):
    drafted = [row for pair in twins for row in pair[1]]
    found = read(drafted)
    assert not found.points
    assert {refusal.reason for refusal in found.refusals} == {
        "speculative decoding: how many tokens a step returns is not stated"
    }
