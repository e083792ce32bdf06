"""An engine that runs in this process, served as one replica: the small ones that bring no server of their own."""

from __future__ import annotations

import asyncio
import contextlib
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

    def count_prompt(self, asked: Asked) -> int:
        """Return the tokens of the prompt; InputError when it cannot be served (too long, no chat template)."""

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
    except InputError as error:
        return JSONResponse(error_body(str(error), "invalid_request_error", 400), status_code=400)
    writer = Writer(asked, engine.model)
    if asked.stream:
        return StreamingResponse(_events(engine, asked, writer, prompt_tokens), media_type="text/event-stream")
    pieces = await _collect(request, engine, asked)
    usage = Usage(prompt_tokens=prompt_tokens, output_tokens=len(pieces))
    text, stopped = _cut("".join(pieces), asked.stop)
    return JSONResponse(writer.whole(text, _reason(asked, usage, stopped), usage))


async def _collect(request: Request, engine: LocalEngine, asked: Asked) -> list[str]:
    """Return the whole answer; a client that leaves ends the work."""
    pieces: list[str] = []
    async with contextlib.aclosing(engine.generate(asked)) as stream:  # type: ignore[type-var]
        async for piece in stream:
            pieces.append(piece)
            if (asked.stop and _cut("".join(pieces), asked.stop)[1]) or await request.is_disconnected():
                break
    return pieces


async def _events(engine: LocalEngine, asked: Asked, writer: Writer, prompt_tokens: int) -> AsyncIterator[bytes]:
    count, text, stopped = 0, "", False
    async with contextlib.aclosing(engine.generate(asked)) as stream:  # type: ignore[type-var]
        async for piece in stream:
            if count == 0 and asked.chat:
                yield writer.opening()
            count += 1
            if asked.stop:
                text += piece
                _, stopped = _cut(text, asked.stop)
                if stopped:
                    break
            yield writer.chunk(piece)
    usage = Usage(prompt_tokens=prompt_tokens, output_tokens=count)
    yield writer.closing(_reason(asked, usage, stopped), usage if asked.include_usage else None)


def _cut(text: str, stops: tuple[str, ...]) -> tuple[str, bool]:
    """Return the text before the first stop text in it, and whether there is one."""
    places = [place for stop in stops if (place := text.find(stop)) >= 0]
    return (text[: min(places)], True) if places else (text, False)


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
