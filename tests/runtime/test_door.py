"""What the front door makes of a request before a replica sees it."""

from __future__ import annotations

import asyncio
import json
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steelyard.errors import InputError

pytest.importorskip("uvicorn", reason="serving needs the extra [run]")

from steelyard.runtime.serve.door import Door, _Completions, _look
from steelyard.runtime.serve.limits import Limits
from steelyard.runtime.serve.openai import is_allowed
from steelyard.runtime.serve.pool import Pool
from steelyard.runtime.serve.routing import policy

NAMES = ("max_tokens", "max_completion_tokens", "n_predict")


@given(stated=st.dictionaries(st.sampled_from(NAMES), st.none() | st.integers(-2, 200)), most=st.integers(1, 100))
def test_no_answer_is_longer_than_what_is_served(stated: dict[str, int | None], most: int) -> None:
    door: Any = SimpleNamespace(name="m", limits=Limits(max_output_tokens=most))
    values = [value for value in stated.values() if value is not None]
    asked = json.dumps({"prompt": "x"} | stated).encode()
    if any(not 0 <= value <= most for value in values):
        with pytest.raises(InputError, match=r"whole number|the most that is served here"):
            _look(asked, door)
        return
    body, _, tokens = _look(asked, door)
    sent = json.loads(body)
    found = [sent[name] for name in NAMES if sent.get(name) is not None]
    assert found  # an engine's own default may be to go on until the context is full
    assert max(found) <= most
    assert tokens == max(found)  # and none for a prompt of one letter


def test_without_a_limit_a_body_goes_on_as_it_came() -> None:
    door: Any = SimpleNamespace(name="m", limits=Limits())
    body = b'{ "prompt": "x",   "temperature": 0.5 }'
    assert _look(body, door)[0] is body


def test_a_body_that_does_not_come_is_not_waited_for_longer_than_its_deadline() -> None:
    async def told() -> list[dict[str, Any]]:
        pool = Pool(policy("round-robin"), limit=1, max_queue=1)
        unused: Any = None
        door = Door(name="m", pool=pool, session=unused, limits=Limits(deadline_s=0.05))
        parts = iter([{"type": "http.request", "body": b"{", "more_body": True}])
        sent: list[dict[str, Any]] = []

        async def receive() -> dict[str, Any]:
            for part in parts:
                return part
            return await asyncio.Future()

        async def send(message: Any) -> None:
            sent.append(message)

        await asyncio.wait_for(_Completions(door)({"headers": [], "path": "/v1/completions"}, receive, send), 10.0)
        return sent

    start, body = asyncio.run(told())
    assert start["status"] == 408
    assert "did not arrive within 0.05 s" in json.loads(body["body"])["error"]["message"]


@pytest.mark.parametrize("key", ["secret", "geheim\u00e9"])
def test_a_key_is_compared_as_it_is_sent(key: str) -> None:
    header = f"Bearer {key}".encode().decode("latin-1")  # as servers hand a header on
    assert is_allowed(header, key)
    assert not is_allowed(header + "x", key)
    assert not is_allowed("", key)
    assert is_allowed("", "")
