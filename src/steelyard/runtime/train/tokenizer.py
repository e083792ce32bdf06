"""A tokenizer, given or trained (byte-level BPE), as transformers keeps it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from steelyard.errors import InputError, first_line

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

END_OF_TEXT = "<|endoftext|>"
TRAINING_BYTES = 100_000_000  # a vocabulary does not get better by more, and this fits any memory


def load_tokenizer(path: Path) -> PreTrainedTokenizerFast:
    """Return the tokenizer of a Hugging Face directory, or of a `tokenizer.json`.

    Raises:
        InputError: There is none, or it marks no end of a text.
    """
    from transformers import AutoTokenizer, PreTrainedTokenizerFast

    if path.suffix != ".json" and not path.is_dir():
        raise InputError(f"tokenizer: no such folder: {path}; give a Hugging Face directory or a size, as 4096")
    try:
        if path.suffix == ".json":
            tokenizer = PreTrainedTokenizerFast(tokenizer_file=str(path))
            known = tokenizer.get_vocab()
            ends = [token for token in (END_OF_TEXT, "</s>", "<|end_of_text|>", "<eos>") if token in known]
            if ends:
                tokenizer.eos_token = ends[0]
        else:
            tokenizer = AutoTokenizer.from_pretrained(str(path), local_files_only=True)
    except Exception as error:  # noqa: BLE001 - a file of any content; the library in Rust knows no other class
        raise InputError(f"tokenizer: {path} cannot be read: {first_line(error)}") from None
    if tokenizer.eos_token_id is None:
        raise InputError(f"tokenizer: {path} names no end-of-text token (eos_token); documents could not be told apart")
    return tokenizer


def train_tokenizer(texts: Iterable[str], vocab_size: int) -> PreTrainedTokenizerFast:
    """Return a byte-level BPE tokenizer trained on the beginning of the texts (100 MB at most).

    Source: Sennrich, Haddow, Birch, "Neural Machine Translation of Rare Words with Subword Units", ACL 2016; on bytes
        as in Radford et al., "Language Models are Unsupervised Multitask Learners", 2019.
    """
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=[END_OF_TEXT],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(_first_bytes(texts, TRAINING_BYTES), trainer)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token=END_OF_TEXT, bos_token=END_OF_TEXT)


def _first_bytes(texts: Iterable[str], limit_bytes: int) -> Iterator[str]:
    seen = 0
    for text in texts:
        yield text
        seen += len(text.encode("utf-8", errors="replace"))
        if seen >= limit_bytes:
            return
