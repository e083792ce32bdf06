from __future__ import annotations

from steelyard.records.spec_file import path_text


def test_a_path_reads_as_people_write_it() -> None:
    assert path_text(("a", 0, "b/c")) == "a[0].b/c"
    assert path_text(("a\nb",)) == r"'a\nb'"
