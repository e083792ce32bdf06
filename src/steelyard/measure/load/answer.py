"""Reading one streamed answer: when each token came, how many, and how it ended."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any


@dataclass(slots=True)
class Answer:
    """A stream of server-sent events being read; `feed` takes bytes as they arrive."""

    token_times_s: list[float] = field(default_factory=list)  # one an event that carries text
    prompt_tokens: int = 0  # as the server counts; 0 when it does not say
    output_tokens: int = 0
    done: bool = False
    error: str = ""
    _rest: bytes = b""

    def feed(self, data: bytes, now_s: float) -> None:
        """Take what arrived at `now_s`; events may come whole, in pieces or several at once."""
        data = self._rest + data
        if b"\r" in data:  # looked for in what is left of before too: a cut may part the two characters
            data = data.replace(b"\r\n", b"\n")
        *events, self._rest = data.split(b"\n\n")
        for event in events:
            for line in event.split(b"\n"):
                if line.startswith(b"data:"):
                    self._take(line[5:].strip(), now_s)

    def _take(self, payload: bytes, now_s: float) -> None:
        if payload == b"[DONE]":
            self.done = True
            return
        try:
            self._read(json.loads(payload), now_s)
        except (ValueError, TypeError, AttributeError, RecursionError):  # no JSON, or of another shape than asked for
            self.error = self.error or "malformed stream"

    def _read(self, event: dict[str, Any], now_s: float) -> None:
        if event.get("error"):
            self.error = self.error or "error in stream"
        for choice in event.get("choices") or ():
            if _text(choice):
                self.token_times_s.append(now_s)
            if choice.get("finish_reason"):
                self.done = True
        if usage := event.get("usage"):
            self.prompt_tokens = int(usage.get("prompt_tokens") or 0)
            self.output_tokens = int(usage.get("completion_tokens") or 0)

    def failure(self) -> str:
        """Return the kind of failure of a stream that has ended, or nothing."""
        if self.error:
            return self.error
        if not self.done:
            return "cut off"
        return "" if self.token_times_s else "no tokens"


def _text(choice: dict[str, Any]) -> bool:
    if choice.get("text"):
        return True
    delta = choice.get("delta") or {}
    return bool(delta.get("content") or delta.get("reasoning_content") or delta.get("reasoning"))
