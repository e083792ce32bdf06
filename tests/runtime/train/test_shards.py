import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from steelyard.errors import InputError
from steelyard.runtime.train import shards
from steelyard.runtime.train.documents import Document
from steelyard.runtime.train.shards import HELD_OUT, TRAIN, Order, Sequences, is_held_out, is_packed, pack


class Letters:
    """A tokenizer of one token per character, the end of a text being 0."""

    eos_token_id = 0

    def __len__(self):
        return 256

    def __call__(self, texts, **_):
        return {"input_ids": [[ord(letter) for letter in text] for text in texts]}


def packed(folder, texts, *, ratio=0.2):
    docs = [Document(text, text) for text in texts]
    pack(docs, Letters(), folder, held_out_ratio=ratio, seed=3, made_of={"a": 1})
    return docs


TEXTS = [f"text number {number} of this corpus. " * 3 for number in range(200)]


def test_all_text_is_on_one_side_whole_and_in_order(tmp_path):
    docs = packed(tmp_path / "t", TEXTS)
    for split, held_out in ((TRAIN, False), (HELD_OUT, True)):
        stream = "".join(doc.text + "\0" for doc in docs if is_held_out(doc, 0.2, 3) == held_out)
        sequences = Sequences(tmp_path / "t", split, 16)
        assert len(sequences) == (len(stream) - 1) // 16
        for number in (0, 1, len(sequences) - 1):
            assert "".join(map(chr, sequences[number])) == stream[number * 16 : number * 16 + 17]
    assert 0.1 < sum(is_held_out(doc, 0.2, 3) for doc in docs) / len(docs) < 0.3


def test_equal_texts_are_on_the_same_side(tmp_path):
    packed(tmp_path / "t", [TEXTS[number % 50] for number in range(400)], ratio=0.5)
    train, held_out = (
        set("".join(map(chr, np.fromfile(tmp_path / "t" / f"{split}-00000.bin", dtype=np.uint16))).split("\0")) - {""}
        for split in (TRAIN, HELD_OUT)
    )
    assert train
    assert held_out
    assert not train & held_out
    assert train | held_out == set(TEXTS[:50])


def test_sequences_stay_within_their_shard(tmp_path, monkeypatch):
    monkeypatch.setattr(shards, "_SHARD_BYTES", 2000)
    packed(tmp_path / "t", TEXTS)
    files = sorted((tmp_path / "t").glob("train-*.bin"))
    assert len(files) > 5
    sequences = Sequences(tmp_path / "t", TRAIN, 16)
    counts = [(path.stat().st_size // 2 - 1) // 16 for path in files]
    assert len(sequences) == sum(counts)
    first = np.fromfile(files[1], dtype=np.uint16)[:17]
    assert (sequences[counts[0]] == first).all()


def test_memory_does_not_grow_with_the_text(tmp_path, monkeypatch):
    monkeypatch.setattr(shards, "_CHARACTERS_AT_ONCE", 100_000)
    texts = (Document(f"{number}", f"{number:>5}" * 10_000) for number in range(80))  # 4 MB, one after the other
    tracemalloc.start()
    pack(texts, Letters(), tmp_path / "t", held_out_ratio=0.1, seed=0, made_of={})
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4e6  # the tokens of all documents as a list of numbers would take 32 MB
    assert sum(path.stat().st_size for path in (tmp_path / "t").glob("*.bin")) == 80 * (50_000 + 1) * 2


def test_shards_of_another_text_are_not_used(tmp_path):
    packed(tmp_path / "t", TEXTS)
    assert is_packed(tmp_path / "t", {"a": 1})
    assert not is_packed(tmp_path / "t", {"a": 2})
    assert not is_packed(tmp_path / "other", {"a": 1})


def test_too_little_text_is_said(tmp_path):
    packed(tmp_path / "t", TEXTS[:2], ratio=0.5)
    with pytest.raises(InputError, match="tokens, a sequence takes 1001; give more text"):
        Sequences(tmp_path / "t", TRAIN, 1000)


@given(size=st.integers(1, 50), seed=st.integers(0, 2**31))
def test_every_pass_takes_every_sequence_once(size, seed):
    order = Order(size, seed)
    for number in range(3):
        assert sorted(order[number * size + at] for at in range(size)) == list(range(size))
    assert Order(size, seed)[2 * size] == order[2 * size]  # a position means the same whatever was asked before
