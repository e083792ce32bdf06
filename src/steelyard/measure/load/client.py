"""One OpenAI-compatible address: what it serves, and one request to it."""

from __future__ import annotations

import base64
import json
import os
import time
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote, urlsplit

import aiohttp

from steelyard.errors import InputError, OutsideProgramError, UnknownError, first_line, unknown
from steelyard.measure.load.answer import Answer
from steelyard.measure.load.prompts import Api, body, prompt

_OPTIONAL: tuple[dict[str, Any], ...] = (  # what servers may not know, given up from left to right
    {"stream_options": {"include_usage": True}, "ignore_eos": True},
    {"stream_options": {"include_usage": True}},
    {},
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """Where requests go, and how they are written."""

    url: str  # up to and with /v1
    model: str
    api: Api
    timeout_s: float
    headers: dict[str, str] = field(repr=False)  # they may hold a key or a password
    extra: dict[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def target(self) -> str:
        return f"{self.url}/{'chat/completions' if self.api == 'chat' else 'completions'}"

    def body(self, isl_tokens: int, osl_tokens: int, seed: int) -> bytes:
        return body(self.api, self.model, prompt(isl_tokens, seed), osl_tokens, self.extra)


def without_login(url: str) -> tuple[str, dict[str, str]]:
    """Return an address without the user and password in it, and the header that sends them (RFC 7617).

    Raises:
        InputError: It is none; the message has nothing of what may be a password.

    Example:
        >>> without_login("http://me:secret@127.0.0.1:8000")
        ('http://127.0.0.1:8000', {'authorization': 'Basic bWU6c2VjcmV0'})
        >>> without_login("http://127.0.0.1:8000")
        ('http://127.0.0.1:8000', {})
    """
    try:
        parts = urlsplit(url)
        known = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:  # a port that is none: also what a password leaves that holds a "/"
        known = False
    if not known:
        _, at, rest = url.rpartition("@")
        hint = "; write / # ? @ in a user or password as %2F %23 %3F %40" if at else ""
        raise InputError(f"--url: {rest[:80]!r} is no address; give http://HOST:PORT{hint}")
    login, _, host = parts.netloc.rpartition("@")
    if not login:
        return url, {}
    user, _, password = login.partition(":")
    pair = base64.b64encode(f"{unquote(user)}:{unquote(password)}".encode()).decode()
    return parts._replace(netloc=host).geturl(), {"authorization": f"Basic {pair}"}


def base_url(url: str) -> str:
    """Return the address up to and with `/v1`.

    Example:
        >>> base_url("http://127.0.0.1:8000"), base_url("http://127.0.0.1:8000/v1/")
        ('http://127.0.0.1:8000/v1', 'http://127.0.0.1:8000/v1')
    """
    bare = url.rstrip("/")
    return bare if bare.endswith("/v1") else f"{bare}/v1"


def session(timeout_s: float, headers: dict[str, str]) -> aiohttp.ClientSession:
    """Return a session without a limit of its own: waiting for a connection would hide latency."""
    reuse = aiohttp.TraceConfig()
    reuse.on_connection_reuseconn.append(_note_reuse)
    return aiohttp.ClientSession(
        trace_configs=[reuse],
        connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=30),
        timeout=aiohttp.ClientTimeout(total=timeout_s),
        headers={"content-type": "application/json", "accept-encoding": "identity"} | headers,
        auto_decompress=False,  # nor asked for: a compressed stream is held back by whoever compresses it
        read_bufsize=2**20,
    )


async def find_endpoint(
    url: str, *, model: str | None, api: Api, timeout_s: float, key_variable: str = "OPENAI_API_KEY"
) -> Endpoint:
    """Return the endpoint behind an address, after one small request to it.

    Args:
        url: With or without `/v1`. A user and password in it are sent as HTTP basic authentication, in place of a key.
        model: One that it serves; the only one when None.
        api: Which of the two addresses is asked.
        timeout_s: Of one request, from the first byte sent to the last received.
        key_variable: Environment variable that holds the API key, if there is one.

    Raises:
        InputError: The address is none, or several models are served and none is named.
        UnknownError: It does not serve `model`.
        OutsideProgramError: It cannot be reached, or refuses the request.
    """
    bare, login = without_login(url)
    base, key = base_url(bare), os.environ.get(key_variable, "")
    headers = login or ({"authorization": f"Bearer {key}"} if key else {})
    async with session(timeout_s, headers) as asking:
        name = await _model(asking, base, model)
        refusal = ""
        for extra in _OPTIONAL:
            found = Endpoint(url=base, model=name, api=api, timeout_s=timeout_s, headers=headers, extra=extra)
            status, refusal = await _probe(asking, found)
            if status == 200:
                return found
            if status not in {400, 404, 422}:
                break
    raise OutsideProgramError(f"{found.target}: refuses a small request: {refusal}")


async def _model(asking: aiohttp.ClientSession, base: str, model: str | None) -> str:
    try:
        async with asking.get(f"{base}/models", trace_request_ctx=_Connection()) as response:
            text = await _beginning(response, 1_000_000)
            if response.status == 401:
                raise OutsideProgramError(
                    f"{base}/models: wants an API key; put it into OPENAI_API_KEY (or it wants another user and "
                    "password: --url http://USER:PASSWORD@HOST:PORT)"
                )
            served = [str(entry["id"]) for entry in json.loads(text)["data"]] if response.status == 200 else []
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        raise OutsideProgramError(f"{base}: cannot be reached: {first_line(error)}; is the server running?") from None
    except (ValueError, KeyError, TypeError):
        served = []
    if model is None:
        if len(served) != 1:
            known = ", ".join(served[:8]) or "it lists none"
            raise InputError(f"--model: name one of the models that {base} serves ({known})")
        return served[0]
    if served and model not in served:
        raise UnknownError(unknown(f"model at {base}", model, served))
    return model


async def _probe(asking: aiohttp.ClientSession, endpoint: Endpoint) -> tuple[int, str]:
    try:
        async with asking.post(
            endpoint.target, data=endpoint.body(8, 2, seed=0), trace_request_ctx=_Connection()
        ) as response:
            text = await _beginning(response, 1_000_000)
            return response.status, f"{response.status}: {' '.join(text.decode(errors='replace').split())[:200]}"
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        return 0, first_line(error)


async def _beginning(response: aiohttp.ClientResponse, limit_bytes: int) -> bytes:
    """Return the body, of a longer one about so many bytes: a single read gives no more than has just arrived."""
    whole = b""
    async for part in response.content.iter_any():
        whole += part
        if len(whole) >= limit_bytes:
            break
    return whole


async def ask(asking: aiohttp.ClientSession, target: str, payload: bytes) -> tuple[float, float, str, Answer]:
    """Send one request and read its answer; return when it was sent, when it ended, kind of failure, answer."""
    clock = time.perf_counter
    sent = clock()
    while True:
        answer, connection = Answer(), _Connection()
        failure = await _read(asking, target, payload, answer, connection)
        # A server may close an idle connection just as it is used again: HTTP has the client repeat such a request.
        if failure != "disconnected" or not connection.reused:
            return sent, clock(), failure, answer


@dataclass(slots=True)
class _Connection:
    reused: bool = False


async def _note_reuse(_: aiohttp.ClientSession, context: Any, __: Any) -> None:
    context.trace_request_ctx.reused = True


async def _read(
    asking: aiohttp.ClientSession, target: str, payload: bytes, answer: Answer, connection: _Connection
) -> str:
    """Read the answer as it comes; return the kind of failure, or nothing."""
    try:
        async with asking.post(target, data=payload, trace_request_ctx=connection) as response:
            connection.reused = False  # it answered
            if response.status != 200:
                return f"http {response.status}"
            async for data in response.content.iter_any():
                answer.feed(data, time.perf_counter())
            return answer.failure()
    except TimeoutError:
        return "timeout"
    except aiohttp.ClientConnectorError:
        return "cannot connect"
    except (aiohttp.ClientError, ConnectionError):
        return "cut off" if answer.token_times_s else "disconnected"
    except OSError as error:
        return (error.strerror or type(error).__name__).lower()
