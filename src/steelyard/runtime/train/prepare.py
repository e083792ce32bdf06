"""What a run needs on disk before it starts: its folder, its tokenizer, its token shards."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from steelyard import arch
from steelyard.errors import InputError
from steelyard.runtime.train.disk import refusals_as_os_errors
from steelyard.runtime.train.documents import corpus_files, documents
from steelyard.runtime.train.job import TrainJob
from steelyard.runtime.train.model import config_keys
from steelyard.runtime.train.shards import is_held_out, is_packed, pack
from steelyard.runtime.train.tokenizer import load_tokenizer, train_tokenizer

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

JOB, TOKENIZER, TOKENS, CHECKPOINTS, MODEL = "job.json", "tokenizer", "tokens", "checkpoints", "model"


def prepare(job: TrainJob, *, lender: Path | None = None) -> None:
    """Make the folder of a run ready: what is already there for the same job is used again.

    Args:
        job: The job; it says which folder.
        lender: The prepared folder of another run on the same text, whose tokenizer and tokens are used by a link.

    Raises:
        InputError: The folder cannot be written, belongs to another job, or the text cannot be used.
        UnknownError: No such model.
    """
    _check(job)
    try:
        job.out.mkdir(parents=True, exist_ok=True)
        _claim(job)
        for name in (TOKENIZER, TOKENS) if lender is not None else ():
            if lender is not None and not (job.out / name).exists():
                (job.out / name).symlink_to((lender / name).resolve(), target_is_directory=True)
        if not (job.out / TOKENIZER).is_dir():
            _put_tokenizer(job)
        _put_tokens(job)
    except OSError as error:
        raise InputError(f"out: {job.out} cannot be written: {error.strerror or error}; give another folder") from None


def _check(job: TrainJob) -> None:
    """Meet what can be wrong with the job before anything is written."""
    corpus_files(job.data)
    source = job.tokenizer_source
    if job.finetune is not None:
        arch.read_config(job.finetune)
    else:
        vocab = source if isinstance(source, int) else len(load_tokenizer(source))
        config_keys(job.model, vocab=vocab, context_tokens=job.sequence_tokens)


def _claim(job: TrainJob) -> None:
    path = job.out / JOB
    identity = json.loads(json.dumps(job.identity()))
    if not path.exists():
        strangers = [entry.name for entry in job.out.iterdir() if not entry.name.startswith(".")]
        if strangers:
            raise InputError(f"out: {job.out} is no run and not empty (it holds {strangers[0]}); give a new folder")
        draft = path.with_name(f".{JOB}.part")
        draft.write_text(json.dumps(identity, indent=1), encoding="utf-8")
        draft.rename(path)
        return
    try:
        held: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except json.JSONDecodeError:
        raise InputError(f"out: {path} is not the job of a run; give a new folder") from None
    changed = [key for key in identity if held.get(key) != identity[key]]
    if changed:
        raise InputError(
            f"out: {job.out} holds a run with another {changed[0]} ({held.get(changed[0])}, now "
            f"{identity[changed[0]]}); to resume it keep its job, or give another folder"
        )


def _put_tokenizer(job: TrainJob) -> None:
    source = job.tokenizer_source
    if isinstance(source, Path):
        tokenizer = load_tokenizer(source)
    else:
        texts = documents(corpus_files(job.data), text_field=job.text_field)
        learned = (doc.text for doc in texts if not is_held_out(doc, job.held_out_ratio, job.seed))
        tokenizer = train_tokenizer(learned, source)
    draft = job.out / f"{TOKENIZER}.part"
    shutil.rmtree(draft, ignore_errors=True)
    with refusals_as_os_errors():
        tokenizer.save_pretrained(str(draft))
    draft.rename(job.out / TOKENIZER)


def _put_tokens(job: TrainJob) -> None:
    files = corpus_files(job.data)
    made_of = {
        "files": [[str(path), path.stat().st_size, path.stat().st_mtime_ns] for path in files],
        "text_field": job.text_field,
        "held_out": job.held_out_ratio,
        "seed": job.seed,
    }
    folder = job.out / TOKENS
    if is_packed(folder, made_of):
        return
    if (job.out / CHECKPOINTS).is_dir() or folder.is_symlink():
        raise InputError(f"data: the text has changed since {job.out} was begun; give another folder for a new run")
    pack(
        documents(files, text_field=job.text_field),
        run_tokenizer(job),
        folder,
        held_out_ratio=job.held_out_ratio,
        seed=job.seed,
        made_of=made_of,
    )


def run_tokenizer(job: TrainJob) -> PreTrainedTokenizerFast:
    """Return the tokenizer of a prepared run."""
    return load_tokenizer(job.out / TOKENIZER)
