import json

import pytest

from steelyard.errors import InputError
from steelyard.runtime.train.documents import corpus_files, documents


def texts(path, **options):
    return [doc.text for doc in documents(corpus_files(path), **options)]


def test_one_text_file_comes_in_pieces_of_whole_lines(tmp_path):
    path = tmp_path / "book.txt"
    content = "".join(f"line {number} of a long book\n" for number in range(20_000))
    path.write_text(content)
    pieces = texts(path)
    assert len(pieces) > 100
    assert "".join(pieces) == content
    assert all(piece.endswith("\n") for piece in pieces)


@pytest.mark.parametrize(
    "content", ["one word after another " * 20_000, "a line of its own\n" * 9 + "and a long one " * 9000]
)
def test_a_text_without_line_ends_comes_in_pieces_too(tmp_path, content):
    path = tmp_path / "corpus.txt"
    path.write_text(content)
    pieces = texts(path)
    assert len(pieces) > 10
    assert "".join(pieces) == content


def test_of_many_files_each_is_on_one_side(tmp_path):
    for number in range(120):
        (tmp_path / f"{number}.txt").write_text(f"file {number}\n" * 400_000 if number == 7 else f"file {number}\n")
    found = list(documents(corpus_files(tmp_path)))
    long = [doc for doc in found if doc.text.startswith("file 7\n")]
    assert len(long) > 1
    assert len({doc.key for doc in long}) == 1
    assert len({doc.key for doc in found}) == 120


def test_half_a_character_in_json_is_replaced(tmp_path):
    (tmp_path / "a.jsonl").write_text(r'{"text": "cut \ud83d off"}')
    assert texts(tmp_path) == ["cut ? off"]


def test_json_lines_and_parquet_give_the_same_rows(tmp_path):
    pa = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    rows = ["first", "zweite Zeile\nmit Umbruch", "第三"]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps({"body": row, "n": 1}) + "\n" for row in rows))
    parquet.write_table(pa.table({"body": rows}), tmp_path / "b.parquet")
    assert texts(tmp_path / "a.jsonl", text_field="body") == rows
    assert texts(tmp_path / "b.parquet", text_field="body") == rows


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.jsonl", '{"text": "x"}\n{"body": "x"}\n', "line 2: no text in 'text' (it holds: body); set text_field"),
        ("a.jsonl", '{"text": \n', "line 1: not JSON"),
        ("a.jsonl", "[1]\n", "line 1: no text in 'text' (it holds: list)"),
        ("a.parquet", "no parquet", "not Parquet that can be read"),
    ],
)
def test_a_file_that_cannot_be_used_is_named_with_its_line(tmp_path, name, content, words):
    if name.endswith("parquet"):
        pytest.importorskip("pyarrow")
    path = tmp_path / name
    path.write_text(content)
    with pytest.raises(InputError, match="^" + str(path)) as caught:
        texts(path)
    assert words in str(caught.value)


def test_nothing_to_read_is_said(tmp_path):
    with pytest.raises(InputError, match="no file to read"):
        corpus_files(tmp_path)
    with pytest.raises(InputError, match="no such file, folder or glob"):
        corpus_files(tmp_path / "*.txt")


def test_the_standard_library_is_a_corpus():
    files = corpus_files(None)
    assert len(files) > 200
    assert {"textwrap.py", "decoder.py"} <= {path.name for path in files}
    assert not [path for path in files if "site-packages" in path.parts]
