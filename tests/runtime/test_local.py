"""An engine in a process of ours, of a limited context: why an answer ended."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

pytest.importorskip("uvicorn", reason="serving needs the extra [run]")

CONTEXT_TOKENS = 8


@pytest.fixture(scope="module")
def address(served: Any) -> Iterator[Any]:
    quick = ["--option", "ttft=1ms", "--option", "tpot=1ms"]
    with served("--context", str(CONTEXT_TOKENS), *quick) as found:
        yield found


def _ask(address: Any, **asked: Any) -> tuple[int, str]:
    status, text = address.post("/v1/completions", {"prompt": "one two three"} | asked)
    return status, text


@pytest.mark.parametrize(("max_tokens", "tokens"), [(100, 5), (None, 5), (5, 5), (4, 4)])
def test_an_answer_that_is_cut_says_so_whatever_cut_it(address: Any, max_tokens: int | None, tokens: int) -> None:
    whole = json.loads(_ask(address, max_tokens=max_tokens)[1])
    assert whole["usage"] == {"prompt_tokens": 3, "completion_tokens": tokens, "total_tokens": 3 + tokens}
    assert whole["choices"][0]["finish_reason"] == "length"
    lines = _ask(address, max_tokens=max_tokens, stream=True)[1].splitlines()
    *events, end = [line.removeprefix("data: ") for line in lines if line]
    assert end == "[DONE]"
    assert json.loads(events[-1])["choices"][0]["finish_reason"] == "length"


def test_a_stop_text_in_the_last_place_is_no_cut(address: Any) -> None:
    answer = json.loads(_ask(address, prompt="one two three four five six", stop="word w")[1])  # room for two
    assert answer["choices"][0]["text"] == ""
    assert answer["choices"][0]["finish_reason"] == "stop"


def test_a_prompt_without_room_for_an_answer_is_refused(address: Any) -> None:
    status, text = _ask(address, prompt="x " * CONTEXT_TOKENS)
    assert status == 400
    assert "the prompt has 8 tokens, the model takes 8 with its answer" in json.loads(text)["error"]["message"]
