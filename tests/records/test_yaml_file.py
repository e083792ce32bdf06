from __future__ import annotations

import contextlib
import time
from pathlib import Path

import pytest

from steelyard.errors import InputError
from steelyard.records.yaml_file import MAX_BYTES, MAX_DEPTH, MAX_NODES, parse_yaml, read_yaml


def refused(folder: Path, content: str | bytes) -> str:
    """Return the message with which a file is refused, checked to be one line that starts with its path."""
    path = folder / "scenario.yaml"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(InputError) as caught:
        read_yaml(path)
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith(f"{path}: ")
    return message.removeprefix(f"{path}: ")


def test_plain_scalars_are_read_as_in_yaml_1_2() -> None:
    text = "[1, -2, 2.5, 2e6, .5, yes, no, on, true, False, ~, null, 1:30, 2026-11-22, 0x10, 010, 5%, .inf]"
    assert parse_yaml(text) == [
        1, -2, 2.5, 2e6, 0.5, "yes", "no", "on", True, False, None, None, "1:30", "2026-11-22", "0x10", 10, "5%",
        float("inf"),
    ]  # fmt: skip


def test_quoted_scalars_stay_text() -> None:
    assert parse_yaml("""{a: "1", b: 'true', c: ""}""") == {"a": "1", "b": "true", "c": ""}


def test_mappings_and_lists_nest() -> None:
    assert parse_yaml("a:\n  - {b: 1}\n  - [2, 3]\n") == {"a": [{"b": 1}, [2, 3]]}


@pytest.mark.parametrize("text", ["", "# only a comment\n", "---\n"])
def test_an_empty_document_is_none(text: str) -> None:
    assert parse_yaml(text) is None


@pytest.mark.parametrize(
    ("content", "line", "words"),
    [
        ("a: &x [*x]\n", 1, "aliases"),
        ("a: &a [x, x]\nb: &b [*a, *a]\n", 1, "aliases"),
        ("a: 1\nb: *a\n", 2, "aliases"),
        ("a: 1\na: 2\n", 2, "'a' stands here a second time"),
        ("name: a\n\tmodel: b\n", 2, "tab"),
        ("name: [a, b\nmodel: c\n", 2, "not valid YAML"),
        ("a: 1\n---\nb: 2\n", 3, "second document"),
        ("a: 1\nb: !!python/object/apply:os.system [id]\n", 2, "tag"),
        ("a: !mine 5\n", 1, "tag"),
        ("{[1, 2]: 3}\n", 1, "field name"),
    ],
)
def test_what_a_scenario_needs_no_yaml_for_is_refused_with_its_line(
    tmp_path: Path, content: str, line: int, words: str
) -> None:
    message = refused(tmp_path, content)
    assert message.startswith(f"line {line}: ")
    assert words in message


def test_bytes_that_are_no_text_are_refused(tmp_path: Path) -> None:
    assert "not UTF-8" in refused(tmp_path, "name: a".encode("utf-16"))
    assert "not UTF-8" in refused(tmp_path, b"name: \xff")
    assert "not text" in refused(tmp_path, b"name: a\0b")


def test_limits_hold(tmp_path: Path) -> None:
    assert "larger than 1,000,000 bytes" in refused(tmp_path, b"#" * (MAX_BYTES + 1))
    assert "values" in refused(tmp_path, "x:\n" + "- 1\n" * MAX_NODES)
    assert "nested deeper" in refused(tmp_path, "[" * (MAX_DEPTH + 1) + "]" * (MAX_DEPTH + 1))


def test_at_the_limits_a_file_is_read() -> None:
    assert len(parse_yaml("- 1\n" * (MAX_NODES - 1))) == MAX_NODES - 1
    assert parse_yaml("[" * MAX_DEPTH + "]" * MAX_DEPTH)


@pytest.fixture(scope="module")
def usual_s() -> float:
    """Time to read the most that is allowed, on this machine."""
    started = time.process_time()
    parse_yaml("- 1\n" * (MAX_NODES - 1))
    return time.process_time() - started


@pytest.mark.parametrize("content", ["[" * 900_000, "- " * 400_000, "a: b\n" * 180_000, "a: " + "x " * 450_000])
def test_hostile_files_are_answered_in_little_more_than_the_largest_allowed(
    tmp_path: Path, content: str, usual_s: float
) -> None:
    path = tmp_path / "scenario.yaml"
    path.write_text(content)
    started = time.process_time()
    with contextlib.suppress(InputError):
        read_yaml(path)
    assert time.process_time() - started < 10 * usual_s


def test_what_is_no_readable_file_is_refused(tmp_path: Path) -> None:
    for path, words in (
        (tmp_path, "is a folder"),
        (tmp_path / "nope.yaml", "no such file"),
        (tmp_path / "a.yaml" / "b.yaml", "no such file"),
        (tmp_path / ("x" * 300), "cannot be read"),
        (Path("nul\0name"), "cannot be read"),
    ):
        with pytest.raises(InputError, match=words):
            read_yaml(path)


def test_a_huge_file_is_not_read_whole(tmp_path: Path) -> None:
    path = tmp_path / "huge.yaml"
    with path.open("wb") as file:
        file.truncate(50_000_000_000)  # sparse: takes no disk
    with pytest.raises(InputError, match="larger than"):
        read_yaml(path)
