"""Traces: the public formats are read, everything else is refused with the line named."""

import gzip
import json
from pathlib import Path

import numpy as np
import pytest

from steelyard.errors import InputError
from steelyard.inference import lengths_from_trace, trace

AZURE = "TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:17:03,4808,10\n2023-11-16 18:17:04,3180,8\n"


def write(folder: Path, text: str, name: str = "trace.csv") -> Path:
    file = folder / name
    file.write_text(text, encoding="utf-8")
    return file


def test_azure_columns(tmp_path):
    read = lengths_from_trace(write(tmp_path, AZURE))
    assert read.isl_tokens.tolist() == [4808, 3180]
    assert read.osl_tokens.tolist() == [10, 8]
    assert "2 requests" in read.label


def test_mooncake_lines(tmp_path):
    rows = [
        {"timestamp": 0, "input_length": 6758, "output_length": 500, "hash_ids": [0, 1]},
        {"input_length": 10, "output_length": 0},
    ]
    read = lengths_from_trace(write(tmp_path, "\n".join(map(json.dumps, rows)) + "\n\n", "trace.jsonl"))
    assert read.isl_tokens.tolist() == [6758, 10]
    assert read.osl_tokens.tolist() == [500, 1]  # nothing generated still is one step


@pytest.mark.parametrize(
    "header", ["isl,osl", "ISL , OSL", "Request tokens,Response tokens", "prompt_tokens,completion_tokens"]
)
def test_other_columns(tmp_path, header):
    assert lengths_from_trace(write(tmp_path, f"{header}\n7,3\n")).isl_tokens.tolist() == [7]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "is empty"),
        ("isl,osl\n", "holds no request"),
        ("isl,out\n1,2\n", "line 1.*no column"),
        ("isl,osl\n1,2\n-5,2\n", "line 3.*-5"),
        ("isl,osl\n1,2\nnan,2\n", "line 3.*nan"),
        ("isl,osl\n1,inf\n", "line 2.*inf"),
        ("isl,osl\n1,\n", "line 2"),
        ("isl,osl\n1,1e30\n", "line 2"),
        ("isl,osl\n1\n", "line 2.*cells"),
        ("isl,osl\n1,two\n", "line 2.*two"),
        ('{"isl": 1, "osl": 2}\n{"isl": 1,\n', "line 2.*JSON"),
        ('{"isl": 1, "osl": 2}\n[1, 2]\n', "line 2.*JSON"),
        ('{"isl": 1, "osl": true}\n', "line 1.*True"),
        ('{"isl": 1}\n', "line 1.*no column"),
        ('{"isl": 1, "osl": ' + "[" * 50_000 + "\n", "line 1.*JSON"),
        ("isl,osl\n1,\0\n", "zero byte"),
    ],
)
def test_bad_rows_are_named(tmp_path, text, told):
    with pytest.raises(InputError, match=told) as caught:
        lengths_from_trace(write(tmp_path, text))
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 500


def test_files_that_are_none(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        lengths_from_trace(tmp_path / "missing.csv")
    with pytest.raises(InputError, match="a folder; give a CSV"):
        lengths_from_trace(tmp_path)
    packed = tmp_path / "trace.csv.gz"
    packed.write_bytes(gzip.compress(b"isl,osl\n1,2\n"))
    with pytest.raises(InputError, match="packed with gzip: unpack it first"):
        lengths_from_trace(packed)
    binary = tmp_path / "weights.bin"
    binary.write_bytes(bytes(range(256)) * 10)
    with pytest.raises(InputError, match="UTF-8"):
        lengths_from_trace(binary)


def test_size_and_rows_are_bounded(tmp_path, monkeypatch):
    file = write(tmp_path, "isl,osl\n" + "1,2\n" * 50)
    monkeypatch.setattr(trace, "MAX_ROWS", 20)
    with pytest.raises(InputError, match="51 lines, at most 20 requests"):
        lengths_from_trace(file)
    monkeypatch.setattr(trace, "MAX_BYTES", 100)
    with pytest.raises(InputError, match="are read"):
        lengths_from_trace(file)
    monkeypatch.setattr(trace, "MAX_BYTES", 10**9)
    monkeypatch.setattr(trace, "MAX_ROWS", 50)
    monkeypatch.setattr(trace, "MAX_LINE_CHARACTERS", 5)
    with pytest.raises(InputError, match="line 1: longer"):
        lengths_from_trace(file)


TRACES = Path(__file__).parents[3] / "shared" / "traces"


@pytest.mark.skipif(not (TRACES / "azure_2023_conv.csv").exists(), reason="the public traces are not at hand")
def test_public_traces_have_their_published_means():
    # 19,366 rows, mean 1155 in and 211 out; Mooncake conversation: 12,031 rows, mean 12,035 in and 343 out.
    azure = lengths_from_trace(TRACES / "azure_2023_conv.csv")
    assert len(azure.isl_tokens) == 19_366
    assert np.round([azure.mean_isl_tokens, azure.mean_osl_tokens]).tolist() == [1155, 211]
    mooncake = lengths_from_trace(TRACES / "mooncake_conversation.jsonl")
    assert len(mooncake.isl_tokens) == 12_031
    assert np.round([mooncake.mean_isl_tokens, mooncake.mean_osl_tokens]).tolist() == [12_035, 343]
