"""An engine that runs in this process, served as one replica: the small ones that bring no server of their own."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
from collections.abc import AsyncIterator
from typing import Any, Protocol

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from steelyard.errors import InputError
from steelyard.runtime.serve.openai import UNAUTHORISED, Asked, Usage, Writer, error_body, is_allowed, parse


class LocalEngine(Protocol):
    """What a small engine must do."""

    model: str
    context_tokens: int  # of prompt and answer together; 0: no limit

    def count_prompt(self, asked: Asked) -> int:
        """Return the tokens of the prompt; InputError when it cannot be served (no chat template)."""

    def generate(self, asked: Asked) -> AsyncIterator[str]:
        """Yield the text of one token after the other, at most `max_tokens`; closed when nobody reads on."""


def replica_app(engine: LocalEngine, key: str = "") -> Starlette:
    """Return the OpenAI-compatible address of one engine; with a key, for those who send it."""

    async def complete(request: Request) -> Response:
        return await _answer(request, engine, key, chat=request.url.path.endswith("/chat/completions"))

    async def models(_: Request) -> Response:
        return JSONResponse({"object": "list", "data": [{"id": engine.model, "object": "model", "owned_by": "local"}]})

    async def health(_: Request) -> Response:
        return JSONResponse({"status": "ok"})

    return Starlette(
        routes=[
            Route("/v1/completions", complete, methods=["POST"]),
            Route("/v1/chat/completions", complete, methods=["POST"]),
            Route("/v1/models", models),
            Route("/health", health),
        ]
    )


async def _answer(request: Request, engine: LocalEngine, key: str, *, chat: bool) -> Response:
    if not is_allowed(request.headers.get("authorization", ""), key):
        return JSONResponse(*UNAUTHORISED)
    try:
        asked = parse(await request.body(), chat=chat)
        prompt_tokens = engine.count_prompt(asked)
        asked = _within_context(asked, prompt_tokens, engine.context_tokens)
    except InputError as error:
        return JSONResponse(error_body(str(error), "invalid_request_error", 400), status_code=400)
    writer = Writer(asked, engine.model)
    if asked.stream:
        return StreamingResponse(_events(engine, asked, writer, prompt_tokens), media_type="text/event-stream")
    pieces, stopped = await _collect(request, engine, asked)
    usage = Usage(prompt_tokens=prompt_tokens, output_tokens=len(pieces))
    return JSONResponse(writer.whole("".join(pieces), _reason(asked, usage, stopped), usage))


def _within_context(asked: Asked, prompt_tokens: int, context_tokens: int) -> Asked:
    """Return a request for no more tokens than there is room for, so that an answer cut by either ends as "length".

    Raises:
        InputError: There is room for none.
    """
    if not context_tokens:
        return asked
    if prompt_tokens >= context_tokens:
        raise InputError(f"the prompt has {prompt_tokens} tokens, the model takes {context_tokens} with its answer")
    return dataclasses.replace(asked, max_tokens=min(asked.max_tokens, context_tokens - prompt_tokens))


async def _collect(request: Request, engine: LocalEngine, asked: Asked) -> tuple[list[str], bool]:
    """Return what each token added to the answer, and whether a stop text ended it; a client that leaves does too."""
    pieces: list[str] = []
    unstopped = Unstopped(asked.stop)
    async with contextlib.aclosing(engine.generate(asked)) as stream:  # type: ignore[type-var]
        async for piece in stream:
            pieces.append(unstopped.add(piece))
            if unstopped.stopped or await request.is_disconnected():
                break
    if pieces:
        pieces[-1] += unstopped.rest()
    return pieces, unstopped.stopped


async def _events(engine: LocalEngine, asked: Asked, writer: Writer, prompt_tokens: int) -> AsyncIterator[bytes]:
    count, unstopped = 0, Unstopped(asked.stop)
    async with contextlib.aclosing(engine.generate(asked)) as stream:  # type: ignore[type-var]
        async for piece in stream:
            if count == 0 and asked.chat:
                yield writer.opening()
            count += 1
            yield writer.chunk(unstopped.add(piece))
            if unstopped.stopped:
                break
    if rest := unstopped.rest():
        yield writer.chunk(rest)
    usage = Usage(prompt_tokens=prompt_tokens, output_tokens=count)
    yield writer.closing(_reason(asked, usage, unstopped.stopped), usage if asked.include_usage else None)


class Unstopped:
    """Text up to the first of some stop texts, as it comes: what may begin one is held back until more is known.

    Example:
        >>> text = Unstopped(("END",))
        >>> text.add("at the E"), text.add("asy E"), text.add("ND of"), text.stopped
        ('at the ', 'Easy ', '', True)
    """

    def __init__(self, stops: tuple[str, ...]) -> None:
        self.stops = stops
        self.stopped = False
        self._held = ""

    def add(self, piece: str) -> str:
        """Return what of the text is known to be shown now."""
        text = self._held + piece
        places = [place for stop in self.stops if (place := text.find(stop)) >= 0]
        if places:
            self.stopped, self._held = True, ""
            return text[: min(places)]
        kept = max((_overlap(text, stop) for stop in self.stops), default=0)
        self._held = text[len(text) - kept :]
        return text[: len(text) - kept]

    def rest(self) -> str:
        """Return what was held back when nothing more comes."""
        return self._held


def _overlap(text: str, stop: str) -> int:
    """Return how many characters at the end of a text begin a stop text."""
    return next((size for size in range(min(len(stop) - 1, len(text)), 0, -1) if text.endswith(stop[:size])), 0)


def _reason(asked: Asked, usage: Usage, stopped: bool) -> str:
    return "length" if usage.output_tokens >= asked.max_tokens and not stopped else "stop"


def serve_app(app: Any, *, host: str, port: int, drain_s: float = 30.0) -> None:
    """Serve an application until a signal ends it; requests begun by then are answered first."""
    import uvicorn

    with contextlib.suppress(KeyboardInterrupt):
        config = uvicorn.Config(
            app, host=host, port=port, log_level="warning", access_log=False,
            timeout_graceful_shutdown=max(round(drain_s), 1), backlog=4096,
        )  # fmt: skip
        asyncio.run(uvicorn.Server(config).serve())
