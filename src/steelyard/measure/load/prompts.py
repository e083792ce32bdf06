"""Prompts of a wanted length, and the body that carries them."""

from __future__ import annotations

import json
import random
from typing import Any, Literal

Api = Literal["completions", "chat"]

# Short common words: about one token each in the usual vocabularies. The server's own count is what is reported.
_TEXT = """
the of and to in is that for it as was with be by on not he his but at are this have from or had an they which one you
were all her she there would their we him been has when who will no more if out so up said what its about than into them
can only other time new some could these two may first then do any like my now over such our man me
"""
_WORDS = _TEXT.split()


def prompt(tokens: int, seed: int) -> str:
    """Return about `tokens` tokens of words, the same ones for the same seed and different ones from the start on."""
    return " ".join(random.Random(seed).choices(_WORDS, k=max(tokens, 1)))  # noqa: S311 - no secret


def body(api: Api, model: str, text: str, osl_tokens: int, extra: dict[str, Any]) -> bytes:
    """Return the JSON of a streamed request for `osl_tokens` tokens."""
    asked: dict[str, Any] = {"prompt": text}
    if api == "chat":
        asked = {"messages": [{"role": "user", "content": text}]}
    common = {"model": model, "max_tokens": osl_tokens, "stream": True, "temperature": 0.0}
    return json.dumps(common | asked | extra).encode()
