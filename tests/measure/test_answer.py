from __future__ import annotations

import itertools
import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from steelyard.measure.load.answer import Answer


def _event(content: object) -> bytes:
    return b"data: " + json.dumps(content).encode() + b"\n\n"


def _chunk(text: str | None, reason: str | None = None) -> bytes:
    return _event({"choices": [{"index": 0, "text": text, "finish_reason": reason}]})


WHOLE = (
    b": a comment\n\n"
    + _chunk("one")
    + _chunk(" two")
    + _chunk(" thr\u00e9e", "length")
    + _event({"choices": [], "usage": {"prompt_tokens": 7, "completion_tokens": 3}})
    + b"data: [DONE]\n\n"
)


BETWEEN_CRLF = len((b": a comment\n\n" + _chunk("one")).replace(b"\n", b"\r\n")) - 1  # the last of an event's line ends


@example(cuts=[BETWEEN_CRLF], crlf=True)
@given(cuts=st.lists(st.integers(0, len(WHOLE)), max_size=12), crlf=st.booleans())
def test_events_read_alike_however_the_bytes_are_cut(cuts: list[int], crlf: bool) -> None:
    text = WHOLE.replace(b"\n", b"\r\n") if crlf else WHOLE
    answer = Answer()
    places = sorted({0, len(text), *(min(cut, len(text)) for cut in cuts)})
    for start, end in itertools.pairwise(places):
        answer.feed(text[start:end], float(end))
    blank = b"\r\n\r\n" if crlf else b"\n\n"
    ends = [text.index(blank, text.index(word)) + len(blank) for word in (b'"one"', b" two", b"length")]
    assert answer.token_times_s == [float(min(place for place in places if place >= end)) for end in ends]
    assert (answer.prompt_tokens, answer.output_tokens) == (7, 3)
    assert answer.failure() == ""


def test_the_first_token_is_the_first_text_not_the_role() -> None:
    answer = Answer()
    answer.feed(_event({"choices": [{"delta": {"role": "assistant", "content": ""}, "finish_reason": None}]}), 1.0)
    answer.feed(_event({"choices": [{"delta": {"content": "hello"}, "finish_reason": None}]}), 2.0)
    assert answer.token_times_s == [2.0]


def test_failures_have_a_kind() -> None:
    def kind(*parts: bytes) -> str:
        answer = Answer()
        for part in parts:
            answer.feed(part, 0.0)
        return answer.failure()

    assert kind(_chunk("a")) == "cut off"
    assert kind(_chunk("a"), _event({"error": {"message": "gone"}})) == "error in stream"
    assert kind(b"data: {no json\n\n", b"data: [DONE]\n\n") == "malformed stream"
    assert kind(b"data: [DONE]\n\n") == "no tokens"


@pytest.mark.parametrize(
    "event",
    [[1], 7, {"choices": ["a"]}, {"choices": 7}, {"choices": [{"delta": "a"}]}, {"choices": [], "usage": [1]},
     {"choices": [], "usage": {"completion_tokens": "many"}}],
)  # fmt: skip
def test_an_event_of_another_shape_is_a_kind_of_failure_too(event: object) -> None:
    answer = Answer()
    answer.feed(_event(event) + b"data: [DONE]\n\n", 0.0)
    assert answer.failure() == "malformed stream"
