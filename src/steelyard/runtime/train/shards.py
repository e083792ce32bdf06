"""Text packed into token shards on disk, and sequences read back from them by memory-mapped files."""

from __future__ import annotations

import json
import shutil
import zlib
from array import array
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from steelyard.errors import InputError
from steelyard.runtime.train.documents import Document

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

TRAIN, HELD_OUT = "train", "held_out"
_SHARD_BYTES = 256 << 20
_DOCUMENTS_AT_ONCE = 64
_CHARACTERS_AT_ONCE = 4 << 20
_INDEX = "index.json"


@dataclass(slots=True)
class Split:
    """What was packed on one side: tokens of each shard (end-of-text tokens included), text, documents."""

    shard_tokens: list[int] = field(default_factory=list)
    text_bytes: int = 0
    documents: int = 0

    @property
    def tokens(self) -> int:
        return sum(self.shard_tokens)


class _Writer:
    """Writes the tokens of one split into shards."""

    def __init__(self, folder: Path, name: str, typecode: str) -> None:
        self.folder, self.name, self.typecode = folder, name, typecode
        self.split = Split()
        self.room = _SHARD_BYTES // array(typecode).itemsize

    def add(self, tokens: list[int], text: str) -> None:
        """Append one document. It stays in one shard."""
        held = self.split.shard_tokens
        if not held or held[-1] >= self.room:
            held.append(0)
        with (self.folder / shard_name(self.name, len(held) - 1)).open("ab") as file:
            array(self.typecode, tokens).tofile(file)
        held[-1] += len(tokens)
        self.split.text_bytes += len(text.encode("utf-8", errors="replace"))
        self.split.documents += 1


def shard_name(split: str, number: int) -> str:
    """Return the name of a shard's file."""
    return f"{split}-{number:05d}.bin"


def pack(
    texts: Iterable[Document],
    tokenizer: PreTrainedTokenizerFast,
    folder: Path,
    *,
    held_out_ratio: float,
    seed: int,
    made_of: dict[str, Any],
) -> None:
    """Write documents as token shards into `folder`: the whole of it or nothing; memory stays bounded.

    Each document is followed by the end-of-text token. A document is held out by a hash of its key and the seed, so
    equal texts are never on both sides, and a corpus that grows keeps its sides.

    Args:
        texts: The documents.
        tokenizer: Turns them into tokens.
        folder: New folder.
        held_out_ratio: Share of the documents to hold out.
        seed: Chooses which.
        made_of: What the shards depend on, kept in their index (see `is_packed`).

    Raises:
        OSError: The folder cannot be written.
    """
    draft = folder.with_name(folder.name + ".part")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True)
    typecode = "H" if len(tokenizer) <= 1 << 16 else "I"
    sides = {name: _Writer(draft, name, typecode) for name in (TRAIN, HELD_OUT)}
    for some in _batches(iter(texts)):
        encoded = tokenizer([doc.text for doc in some], add_special_tokens=False, verbose=False)["input_ids"]
        for doc, ids in zip(some, encoded, strict=True):
            if ids:
                side = HELD_OUT if is_held_out(doc, held_out_ratio, seed) else TRAIN
                sides[side].add([*ids, tokenizer.eos_token_id], doc.text)
    index = {
        "dtype": {"H": "uint16", "I": "uint32"}[typecode],
        "made_of": made_of,
        **{name: asdict(side.split) for name, side in sides.items()},
    }
    (draft / _INDEX).write_text(json.dumps(index), encoding="utf-8")
    shutil.rmtree(folder, ignore_errors=True)
    draft.rename(folder)


def is_held_out(doc: Document, held_out_ratio: float, seed: int) -> bool:
    """Tell whether a document is kept out of training, by a hash of its key."""
    return zlib.crc32(doc.key.encode("utf-8", errors="replace"), seed) < held_out_ratio * 2**32


def _batches(texts: Iterator[Document]) -> Iterator[list[Document]]:
    """Yield documents together, as many as are worth a call of the tokenizer and no more than memory holds easily."""
    some: list[Document] = []
    characters = 0
    for doc in texts:
        some.append(doc)
        characters += len(doc.text)
        if len(some) == _DOCUMENTS_AT_ONCE or characters >= _CHARACTERS_AT_ONCE:
            yield some
            some, characters = [], 0
    if some:
        yield some


def is_packed(folder: Path, made_of: dict[str, Any]) -> bool:
    """Tell whether a folder holds the shards of exactly this text and tokenizer."""
    try:
        index = json.loads((folder / _INDEX).read_text(encoding="utf-8"))
    except (OSError, json.JSONDecodeError):
        return False
    return bool(index["made_of"] == json.loads(json.dumps(made_of)))


class Sequences:
    """The sequences of one split: `sequence_tokens` and the token after each, every one within a shard.

    Nothing is held in memory but the table of shards.
    """

    def __init__(self, folder: Path, split: str, sequence_tokens: int) -> None:
        """Open the shards.

        Raises:
            InputError: There is not one whole sequence.
        """
        index = json.loads((folder / _INDEX).read_text(encoding="utf-8"))
        packed = Split(**index[split])
        self.length = sequence_tokens
        self.bytes_per_token = packed.text_bytes / max(packed.tokens, 1)
        self._shards = [
            np.memmap(folder / shard_name(split, number), dtype=index["dtype"], mode="r")
            for number in range(len(packed.shard_tokens))
        ]
        counts = [max(0, (tokens - 1) // sequence_tokens) for tokens in packed.shard_tokens]
        self._first = np.concatenate([[0], np.cumsum(counts, dtype=np.int64)])
        if len(self) == 0:
            side = "held-out part" if split == HELD_OUT else "training part"
            raise InputError(
                f"data: the {side} has {packed.tokens} tokens, a sequence takes {sequence_tokens + 1}; "
                "give more text, another held_out share or a shorter sequence"
            )

    def __len__(self) -> int:
        return int(self._first[-1])

    def __getitem__(self, number: int) -> npt.NDArray[np.int64]:
        """Return sequence `number` and the token after it, [sequence_tokens + 1]."""
        shard = int(np.searchsorted(self._first, number, side="right")) - 1
        start = (number - int(self._first[shard])) * self.length
        return np.asarray(self._shards[shard][start : start + self.length + 1], dtype=np.int64)

    def rows(self, numbers: Iterable[int]) -> npt.NDArray[np.int64]:
        """Return several sequences, [number of them, sequence_tokens + 1]."""
        return np.stack([self[int(number)] for number in numbers])


class Order:
    """The order in which sequences are trained on: every pass over the data shuffled by seed and pass.

    A pure function of the position, so that a run resumes exactly. Takes 8 bytes a sequence.
    """

    def __init__(self, num_sequences: int, seed: int) -> None:
        self.num_sequences, self.seed = num_sequences, seed
        self._pass, self._shuffled = -1, np.empty(0, dtype=np.int64)

    def __getitem__(self, position: int) -> int:
        """Return the number of the sequence at a position counted over all passes."""
        number, within = divmod(position, self.num_sequences)
        if number != self._pass:
            self._shuffled = np.random.default_rng([self.seed, number]).permutation(self.num_sequences)
            self._pass = number
        return int(self._shuffled[within])
