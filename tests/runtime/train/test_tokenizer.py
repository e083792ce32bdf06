import pytest

from steelyard.errors import InputError

pytest.importorskip("transformers")

from steelyard.runtime.train.tokenizer import _first_bytes, load_tokenizer


@pytest.mark.parametrize("content", ["{", "[]", '{"model": {"type": "none"}}'])
def test_a_file_that_is_no_tokenizer_is_one_clear_line(tmp_path, content):
    (tmp_path / "tokenizer.json").write_text(content)
    for given in (tmp_path / "tokenizer.json", tmp_path):
        with pytest.raises(InputError, match="cannot be read") as told:
            load_tokenizer(given)
        assert "\n" not in str(told.value)


def test_no_such_folder_is_said(tmp_path):
    with pytest.raises(InputError, match="no such folder"):
        load_tokenizer(tmp_path / "none")


def test_what_a_tokenizer_learns_from_is_bounded_in_bytes():
    assert list(_first_bytes(["\u00e9\u00e9", "bb", "c"], 4)) == ["\u00e9\u00e9"]  # two bytes a letter
    assert list(_first_bytes(["aa", "bb", "c"], 4)) == ["aa", "bb"]
