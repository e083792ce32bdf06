from __future__ import annotations

import csv
import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from steelyard import catalog
from steelyard.errors import InputError
from steelyard.inference import joint_shares, lengths_from_stated, lengths_from_workload
from steelyard.records.joint_shares import joint_shares_of

OF_TRACES = {
    "chat": "azure_2023_conv.csv",
    "code": "azure_2023_code.csv",
    "long-context": "mooncake_conversation.jsonl",
}
TRACES = Path(__file__).resolve().parents[3] / "shared" / "traces"
PRESETS = [preset for preset in catalog.workloads().values() if preset.joint_shares is not None]


def held(lengths, table):
    """Return the shares of requests in the cells of a table [I, J], by the places of both lengths."""
    count = len(lengths.isl_tokens)
    places = [np.argsort(np.argsort(tokens, kind="stable"), kind="stable") / count
              for tokens in (lengths.isl_tokens, lengths.osl_tokens)]  # fmt: skip
    edges = (table.isl_edge_ratio, table.osl_edge_ratio)
    return np.histogram2d(*places, bins=edges)[0] / count


def test_presets_of_traces_carry_a_table():
    assert {preset.id for preset in PRESETS} == set(OF_TRACES)


@pytest.mark.parametrize("preset", PRESETS, ids=lambda preset: preset.id)
def test_a_table_leaves_each_length_as_the_quantiles_say(preset):
    drawn = lengths_from_workload(preset)
    apart = lengths_from_workload(dataclasses.replace(preset, joint_shares=None))
    assert np.array_equal(np.sort(drawn.isl_tokens), np.sort(apart.isl_tokens))
    assert np.array_equal(np.sort(drawn.osl_tokens), np.sort(apart.osl_tokens))
    # Its rows and columns hold the requests that lie between two stated quantiles.
    assert set(preset.joint_shares.isl_edge_ratio.round(6)) <= set(preset.isl_quantile_tokens)
    assert set(preset.joint_shares.osl_edge_ratio.round(6)) <= set(preset.osl_quantile_tokens)


@pytest.mark.parametrize("preset", PRESETS, ids=lambda preset: preset.id)
def test_a_table_has_the_rank_correlation_that_stands_beside_it(preset):
    # Spearman's of even cells: 12 E[u v] - 3, with u and v the middles of the bins.
    table = preset.joint_shares
    middles = [(edges[1:] + edges[:-1]) / 2 for edges in (table.isl_edge_ratio, table.osl_edge_ratio)]
    found = 12 * middles[0] @ table.request_ratio @ middles[1] - 3
    assert found == pytest.approx(preset.length_rank_correlation_ratio, abs=0.01)


@pytest.mark.parametrize("preset", OF_TRACES)
def test_tables_are_those_of_the_traces(preset):
    path = TRACES / OF_TRACES[preset]
    if not path.is_file():
        pytest.skip("the trace is not at hand")
    with path.open(encoding="utf-8") as lines:
        if path.suffix == ".csv":
            pairs = [(int(row["ContextTokens"]), int(row["GeneratedTokens"])) for row in csv.DictReader(lines)]
        else:
            pairs = [(row["input_length"], row["output_length"]) for row in map(json.loads, lines)]
    isl, osl = np.array(pairs).T
    found, stated = joint_shares(isl, osl), catalog.workload(preset).joint_shares
    assert np.array_equal(found.isl_edge_ratio, stated.isl_edge_ratio)
    assert np.array_equal(found.osl_edge_ratio, stated.osl_edge_ratio)
    assert stated.request_ratio == pytest.approx(found.request_ratio, abs=0.00006)  # four digits
    # By hand for one cell, the last: the longest prompts and answers, those at the edge counted in part at most.
    rows, columns = isl > np.quantile(isl, stated.isl_edge_ratio[-2]), osl > np.quantile(osl, stated.osl_edge_ratio[-2])
    assert stated.request_ratio[-1, -1] == pytest.approx((rows & columns).mean(), abs=0.002)


@settings(max_examples=30, deadline=None)
@given(
    cells=st.lists(st.lists(st.integers(0, 9), min_size=5, max_size=5), min_size=4, max_size=4),
    num_samples=st.integers(2_000, 6_000),
)
def test_drawn_lengths_fall_into_the_cells_as_the_table_says(cells, num_samples):
    counts = np.array(cells) + 0.01  # no empty row or column
    shares = counts / counts.sum()
    edges = [np.append(0.0, np.cumsum(shares.sum(axis=axis))).clip(0, 1).tolist() for axis in (1, 0)]
    edges[0][-1] = edges[1][-1] = 1.0
    table = joint_shares_of(shares.tolist(), *edges)
    drawn = lengths_from_stated(
        {"p50": 500, "p99": 4000}, {"p50": 90, "p99": 900}, joint_shares=table, num_samples=num_samples
    )
    assert held(drawn, table) == pytest.approx(shares, abs=0.01)


@settings(max_examples=10, deadline=None)
@given(
    pairs=st.lists(st.tuples(st.integers(1, 40), st.integers(1, 8)), min_size=1, max_size=300),
)
def test_a_table_read_off_any_requests_is_one(pairs):
    isl, osl = np.array(pairs).T
    table = joint_shares(isl, osl)
    again = joint_shares_of(table.request_ratio.tolist(), table.isl_edge_ratio.tolist(), table.osl_edge_ratio.tolist())
    assert np.array_equal(again.request_ratio, table.request_ratio)
    assert table.request_ratio.shape == (16, 16)


def test_edges_lie_where_lengths_that_belong_together_part():
    # Two kinds of requests: 37% long questions with short answers, the others the reverse. No tenth parts them.
    long_first = np.r_[np.full(370, 4000), np.full(630, 100)], np.r_[np.full(370, 10), np.full(630, 500)]
    table = joint_shares(*long_first)
    assert 0.63 in table.isl_edge_ratio.round(6)
    assert 0.37 in table.osl_edge_ratio.round(6)


def test_what_goes_together_in_a_table_goes_together_in_lengths():
    def mean_product(values):
        drawn = lengths_from_stated({"p50": 500, "p99": 4000}, {"p50": 90, "p99": 900}, joint_shares=values)
        return (drawn.isl_tokens * drawn.osl_tokens).mean()

    alike, apart, unlike = (
        joint_shares_of(rows) for rows in ([[0.5, 0], [0, 0.5]], [[0.25] * 2] * 2, [[0, 0.5], [0.5, 0]])
    )
    assert mean_product(alike) > 1.2 * mean_product(apart) > 1.44 * mean_product(unlike)
    assert mean_product(apart) == pytest.approx(mean_product(None), rel=0.02)


def test_a_table_and_a_rank_correlation_exclude_each_other():
    table = joint_shares_of([[0.5, 0], [0, 0.5]])
    with pytest.raises(InputError, match="rank_correlation: joint shares are stated"):
        lengths_from_stated({"mean": 500}, {"mean": 50}, rank_correlation=0.5, joint_shares=table)


@pytest.mark.parametrize(("isl", "osl"), [([], []), ([1, 2], [1]), ([[1]], [[1]])])
def test_no_requests_make_no_table(isl, osl):
    with pytest.raises(InputError, match="allowed: one answer for each prompt"):
        joint_shares(isl, osl)


# Prompt tokens that are held while one answer token is made, mean over all answer tokens: sum(isl * osl) / sum(osl) of
# the files themselves. It is what the KV cache of a full server holds.
HELD_PROMPT_TOKENS = {"chat": 1059, "code": 2053, "long-context": 12863}


@pytest.mark.parametrize("preset", HELD_PROMPT_TOKENS)
def test_the_prompts_that_answers_hold_are_as_long_as_in_the_trace(preset):
    drawn = lengths_from_workload(catalog.workload(preset), num_samples=4096)
    found = (drawn.isl_tokens * drawn.osl_tokens).mean() / drawn.mean_osl_tokens
    assert found == pytest.approx(HELD_PROMPT_TOKENS[preset], rel=0.025)  # 14% too much for chat by its correlation
