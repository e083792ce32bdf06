"""The trained model in Hugging Face's formats: safetensors, config.json, tokenizer."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from steelyard.errors import OutsideProgramError
from steelyard.runtime.train.disk import refusals_as_os_errors
from steelyard.runtime.train.prepare import MODEL
from steelyard.runtime.train.ranks import Ranks
from steelyard.runtime.train.wrap import full_weights

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerFast


def export(model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, out: Path, ranks: Ranks) -> Path:
    """Write the model into `out/model`, the whole of it or nothing; return the folder. All processes call it.

    Adapters are merged into the model they adapt, and lie beside it in `out/adapter` too.

    Raises:
        OutsideProgramError: The disk refused.
    """
    weights = full_weights(model)
    target = out / MODEL
    if not ranks.first:
        ranks.wait()
        return target
    try:
        if hasattr(model, "merge_and_unload"):
            _write(model, None, out / "adapter", {})
            whole = model.merge_and_unload()
            _write(whole, tokenizer, target, {})
        else:
            _write(model, tokenizer, target, {"state_dict": weights})
    except OSError as error:
        raise OutsideProgramError(f"{target} cannot be written: {error.strerror or error}") from None
    ranks.wait()
    return target


def _write(model: Any, tokenizer: Any, target: Path, options: dict[str, Any]) -> None:
    draft = target.with_name(target.name + ".part")
    shutil.rmtree(draft, ignore_errors=True)
    with refusals_as_os_errors():
        model.save_pretrained(str(draft), **options)
        if tokenizer is not None:
            tokenizer.save_pretrained(str(draft))
    shutil.rmtree(target, ignore_errors=True)
    draft.rename(target)
