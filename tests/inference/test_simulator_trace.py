"""Traces as load: the public columns are read, everything else is refused with its line; prefixes are found again."""

import json
import time
from pathlib import Path

import numpy as np
import pytest

from steelyard.errors import InputError
from steelyard.inference import trace
from steelyard.inference.simulator import prefix_hits, trace_load

MOONCAKE = Path(__file__).parents[3] / "shared" / "traces" / "mooncake_conversation.jsonl"


def write(folder, text, name="trace.csv"):
    file = folder / name
    file.write_text(text, encoding="utf-8")
    return file


def test_azure_columns(tmp_path):
    text = (
        "TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:17:03.9799600,4808,10\n"
        "2023-11-16 18:17:05.4799600,3180,8\n"
    )
    load = trace_load(write(tmp_path, text))
    assert load.trace_times == pytest.approx([0.0, 1.5])
    assert load.lengths.isl_tokens.tolist() == [4808, 3180]


@pytest.mark.parametrize("zone", ["UTC", "America/New_York"])
def test_times_without_a_zone_are_the_same_wherever_they_are_read(tmp_path, monkeypatch, zone):
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    text = "timestamp,isl,osl\n2024-03-10 01:59:59,1,1\n2024-03-10 03:00:01,1,1\n"  # clocks put forward in New York
    try:
        assert trace_load(write(tmp_path, text)).trace_times.tolist() == [0.0, 3602.0]
    finally:
        monkeypatch.undo()
        time.tzset()


def test_mooncake_lines_are_in_milliseconds_and_keep_their_blocks(tmp_path):
    rows = [
        {"timestamp": 0, "input_length": 600, "output_length": 5, "hash_ids": [0, 1]},
        {"timestamp": 3000, "input_length": 1200, "output_length": 0, "hash_ids": [0, 1, 2]},
    ]
    load = trace_load(write(tmp_path, "\n".join(map(json.dumps, rows)), "trace.jsonl"))
    assert load.trace_times.tolist() == [0.0, 3.0]
    assert load.hashes.tolist() == [0, 1, 0, 1, 2]
    assert load.trace_hash_start.tolist() == [0, 2]
    assert load.lengths.osl_tokens.tolist() == [5, 1]
    assert prefix_hits(load, 1) == pytest.approx(2 / 5)
    assert prefix_hits(load, 2) == 0.0  # each cache sees one request
    assert prefix_hits(load, 2, affinity=True, balance_ratio=10.0) == pytest.approx(2 / 5)


def test_burstgpt_columns_and_a_rate_of_ones_own(tmp_path):
    text = "Timestamp,Model,Request tokens,Response tokens\n5,GPT-4,472,18\n45,GPT-4,1087,230\n65,GPT-4,417,276\n"
    load = trace_load(write(tmp_path, text), request_rate_per_s=1.0)
    assert load.label.endswith("at 1 requests/s in the mean")
    assert load.trace_times == pytest.approx([0.0, 2 * 40 / 60, 2.0])
    assert trace_load(write(tmp_path, text), num_requests=2).num_requests == 2


def test_rows_are_read_in_blocks_that_join_without_a_seam(tmp_path):
    rows = [f"{i // 7 / 10},{i % 300 + 1},{i % 90 + 1}" for i in range(5000)]
    load = trace_load(write(tmp_path, "timestamp,isl,osl,note\n" + "\n".join(rows) + "\n"))  # a last cell is left out
    assert load.trace_times.tolist() == [i // 7 / 10 for i in range(5000)]
    assert load.lengths.isl_tokens.tolist() == [i % 300 + 1 for i in range(5000)]
    assert load.lengths.osl_tokens.tolist() == [i % 90 + 1 for i in range(5000)]
    for place, wrong, told in (
        (1023, "14.6,3,-1", "line 1025.*-1"),  # the last of a block; the header is line 1
        (1024, "0,3,1", "line 1026.*before that of the request above"),  # the first of the next
        (4999, "714.2,x,1", "line 5001.*'x'"),
        (3000, "2023-13-45,1,1", "line 3002.*date and time"),
    ):
        broken = [*rows[:place], wrong, *rows[place + 1 :]]
        with pytest.raises(InputError, match=told):
            trace_load(write(tmp_path, "timestamp,isl,osl\n" + "\n".join(broken)))


def test_clocks_without_a_zone_are_not_put_back(tmp_path, monkeypatch):
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    try:  # where summer time ended, this hour came twice
        text = "timestamp,isl,osl\n2023-10-29 02:59:59,1,1\n2023-10-29 03:00:01,1,1\n"
        assert trace_load(write(tmp_path, text)).trace_times.tolist() == [0.0, 2.0]
    finally:
        monkeypatch.undo()
        time.tzset()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("isl,osl\n1,2\n", "line 1.*no column timestamp"),
        ("timestamp,isl\n1,2\n", "line 1.*no column osl"),
        ("timestamp,isl,osl\n0,1,2\n1,-5,2\n", "line 3.*-5"),
        ("timestamp,isl,osl\n9,1,2\n2,1,2\n", "line 3.*7 s before.*sort"),
        ("timestamp,isl,osl\nsoon,1,2\n", "line 2.*'soon'.*date and time"),
        ("timestamp,isl,osl\nnan,1,2\n", "line 2.*nan"),
        ('{"timestamp": 0, "isl": 1, "osl": 2, "hash_ids": [1, -2]}\n', "line 1.*hash_ids"),
        ('{"timestamp": 0, "isl": 1, "osl": 2, "hash_ids": "x"}\n', "line 1.*hash_ids"),
    ],
)
def test_what_is_wrong_with_a_trace_is_named(tmp_path, text, told):
    with pytest.raises(InputError, match=told):
        trace_load(write(tmp_path, text))


def test_a_trace_is_not_stretched_silently(tmp_path):
    with pytest.raises(InputError, match="holds 2 requests, not the 5 asked"):
        trace_load(write(tmp_path, "timestamp,isl,osl\n0,1,2\n1,1,2\n"), num_requests=5)


def test_too_many_rows_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(trace, "MAX_ROWS", 3)
    with pytest.raises(InputError, match="5 lines, at most 3 requests"):
        trace_load(write(tmp_path, "timestamp,isl,osl\n" + "1,2,3\n" * 4))


@pytest.mark.skipif(not MOONCAKE.is_file(), reason="the trace is not part of the project")
def test_routing_spreads_the_prefixes_of_a_real_trace_as_was_measured():
    load = trace_load(MOONCAKE)
    # Shares of blocks found, computed from the trace by its own statistics: one cache, and taking turns over several.
    for caches, share in ((1, 0.366), (4, 0.192), (16, 0.099), (64, 0.061)):
        assert prefix_hits(load, caches) == pytest.approx(share, abs=0.0006)
    for caches in (4, 16, 64):  # affinity within a bound keeps most of it
        assert prefix_hits(load, caches, affinity=True) > 0.9 * 0.366
    assert np.all(load.trace_hash_count > 0)


def test_a_rate_of_requests_at_one_moment_is_refused(tmp_path):
    text = "timestamp,isl,osl\n7,10,1\n7,10,1\n"
    assert trace_load(write(tmp_path, text)).request_rate_per_s == 0.0
    with pytest.raises(InputError, match="at one moment"):
        trace_load(write(tmp_path, text), request_rate_per_s=5.0)
