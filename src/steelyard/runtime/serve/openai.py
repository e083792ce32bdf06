"""What is asked and answered in the form of the OpenAI API: completions and chat completions."""

from __future__ import annotations

import hmac
import json
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from steelyard.errors import InputError

_DEFAULT_MAX_TOKENS = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One request for text. `messages` is set for chat, `prompt` otherwise."""

    chat: bool
    prompt: str
    messages: tuple[Mapping[str, str], ...]
    max_tokens: int
    temperature: float
    top_p: float
    seed: int | None
    stop: tuple[str, ...]
    stream: bool
    include_usage: bool
    ignore_eos: bool
    came_s: float = field(default_factory=time.perf_counter, compare=False)  # when it had been read


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """Tokens of one request, as the engine counts them."""

    prompt_tokens: int
    output_tokens: int

    def to_dict(self) -> dict[str, int]:
        total = self.prompt_tokens + self.output_tokens
        return {"prompt_tokens": self.prompt_tokens, "completion_tokens": self.output_tokens, "total_tokens": total}


def parse(text: bytes, *, chat: bool) -> Asked:
    """Return the request of a body.

    Raises:
        InputError: It is no JSON object, or a field is missing or has a wrong value; the field is named.
    """
    try:
        raw = json.loads(text)
    except (ValueError, RecursionError):
        raise InputError("the body is not JSON") from None
    if not isinstance(raw, dict):
        raise InputError("the body is not a JSON object")
    return Asked(
        chat=chat,
        prompt="" if chat else _prompt(raw),
        messages=_messages(raw) if chat else (),
        max_tokens=round(_number(raw, ("max_completion_tokens", "max_tokens"), _DEFAULT_MAX_TOKENS, 1, 10_000_000)),
        temperature=_number(raw, ("temperature",), 1.0, 0.0, 10.0),
        top_p=_number(raw, ("top_p",), 1.0, 0.0, 1.0),
        seed=None if raw.get("seed") is None else round(_number(raw, ("seed",), 0, -(2.0**63), 2.0**63)),
        stop=_stop(raw),
        stream=bool(raw.get("stream")),
        include_usage=bool(_stream_options(raw).get("include_usage")),
        ignore_eos=bool(raw.get("ignore_eos")),
    )


def _prompt(raw: dict[str, Any]) -> str:
    prompt = raw.get("prompt")
    if isinstance(prompt, list) and len(prompt) == 1:
        prompt = prompt[0]
    if not isinstance(prompt, str):
        raise InputError("prompt: must be one text")
    return prompt


def _messages(raw: dict[str, Any]) -> tuple[Mapping[str, str], ...]:
    messages = raw.get("messages")
    if not isinstance(messages, list) or not messages:
        raise InputError("messages: must be a list of at least one message")
    return tuple(_message(message, number) for number, message in enumerate(messages))


def _message(message: Any, number: int) -> Mapping[str, str]:
    where = f"messages[{number}]"
    if not isinstance(message, dict) or not isinstance(message.get("role"), str):
        raise InputError(f"{where}: needs a role and content")
    content = message.get("content")
    if isinstance(content, list):  # parts, of which only text is served
        parts = [part.get("text") if isinstance(part, dict) else None for part in content]
        content = "".join(parts) if all(isinstance(part, str) for part in parts) else None  # type: ignore[arg-type]
    if not isinstance(content, str):
        raise InputError(f"{where}.content: must be text")
    return {"role": message["role"], "content": content}


def _number(raw: dict[str, Any], names: tuple[str, ...], default: float, low: float, high: float) -> float:
    name = next((name for name in names if raw.get(name) is not None), None)
    if name is None:
        return default
    value = raw[name]
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not low <= value <= high:
        raise InputError(f"{name}: must be a number from {low:g} to {high:g}")
    return float(value)


def _stream_options(raw: dict[str, Any]) -> dict[str, Any]:
    options = raw.get("stream_options") or {}
    if not isinstance(options, dict):
        raise InputError("stream_options: must be an object")
    return options


def _stop(raw: dict[str, Any]) -> tuple[str, ...]:
    stop = raw.get("stop")
    texts = [] if stop is None else [stop] if isinstance(stop, str) else stop
    if not isinstance(texts, list) or len(texts) > 16 or not all(isinstance(text, str) and text for text in texts):
        raise InputError("stop: must be a text, or a list of at most 16")
    return tuple(texts)


class Writer:
    """Writes the answer to one request, whole or event by event."""

    def __init__(self, asked: Asked, model: str) -> None:
        self.chat = asked.chat
        kind = "chat.completion" if asked.chat else "text_completion"
        name = f"{'chatcmpl' if asked.chat else 'cmpl'}-{uuid.uuid4().hex}"
        self.head: dict[str, Any] = {"id": name, "object": kind, "created": int(time.time()), "model": model}
        self.chunk_head = self.head | ({"object": "chat.completion.chunk"} if asked.chat else {})

    def opening(self) -> bytes:
        """Return the event before the first text: chat names the role."""
        return self._event([{"index": 0, "delta": {"role": "assistant", "content": ""}, "finish_reason": None}])

    def chunk(self, text: str) -> bytes:
        return self._event([self._choice(text, None)])

    def closing(self, reason: str, usage: Usage | None) -> bytes:
        """Return the last events: why it ended, the usage where asked for, and the end mark."""
        last = self._event([self._choice("", reason)])
        if usage is not None:
            last += event(self.chunk_head | {"choices": [], "usage": usage.to_dict()})
        return last + b"data: [DONE]\n\n"

    def whole(self, text: str, reason: str, usage: Usage) -> dict[str, Any]:
        choice: dict[str, Any] = {"index": 0, "finish_reason": reason, "logprobs": None}
        choice |= {"message": {"role": "assistant", "content": text}} if self.chat else {"text": text}
        return self.head | {"choices": [choice], "usage": usage.to_dict()}

    def _choice(self, text: str, reason: str | None) -> dict[str, Any]:
        if self.chat:
            return {"index": 0, "delta": {"content": text} if text else {}, "finish_reason": reason}
        return {"index": 0, "text": text, "logprobs": None, "finish_reason": reason}

    def _event(self, choices: list[dict[str, Any]]) -> bytes:
        return event(self.chunk_head | {"choices": choices})


def event(content: dict[str, Any]) -> bytes:
    """Return one server-sent event."""
    return b"data: " + json.dumps(content, separators=(",", ":")).encode() + b"\n\n"


def error_body(message: str, kind: str, code: int) -> dict[str, Any]:
    """Return the body of an error, in the form that clients of the API know."""
    return {"error": {"message": message, "type": kind, "param": None, "code": code}}


UNAUTHORISED = (error_body("the API key is missing or wrong", "authentication_error", 401), 401)


def is_allowed(authorization: str, key: str) -> bool:
    """Tell whether a header carries the key; without a key everyone is let in. Headers are read as Latin-1."""
    return not key or hmac.compare_digest(authorization.encode("latin-1", "replace"), f"Bearer {key}".encode())
