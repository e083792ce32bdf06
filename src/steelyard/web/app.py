"""The page's addresses: what each takes, which one function it calls, and what it gives back."""

from __future__ import annotations

import contextlib
import json
import secrets
import tempfile
import threading
from collections.abc import AsyncIterator
from importlib import resources
from pathlib import Path
from typing import Any, NoReturn

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Route

from steelyard import __version__
from steelyard.errors import InputError, SteelyardError
from steelyard.report.page import own
from steelyard.web import answer, controls
from steelyard.web.choices import CHOICES
from steelyard.web.guard import Guard
from steelyard.web.presets import EXAMPLE, presets
from steelyard.web.tasks import BusyError, Task, Tasks
from steelyard.web.work import WORK

TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
NO_STORE = {"cache-control": "no-store"}
WRONG, MISSING, BUSY, INTERNAL = 422, 404, 429, 500


def make_app(hosts: frozenset[str], *, any_address: bool = False) -> Starlette:
    """Return the application; it answers to these names only, and with `any_address` to IP addresses."""
    token = secrets.token_urlsafe(24)
    folder = tempfile.TemporaryDirectory(prefix="steelyard-web-")
    page = Page(Path(folder.name), token)

    @contextlib.asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        threading.Thread(target=page.warm, daemon=True).start()
        yield
        page.tasks.close()
        folder.cleanup()

    return Starlette(
        routes=[
            Route("/", page.index),
            Route("/plotly.js", page.plotly),
            Route("/static/{name}", page.static),
            Route("/api/start", page.start),
            Route("/api/compare", page.compare, methods=["POST"]),
            Route("/api/explain", page.explain, methods=["POST"]),
            Route("/api/source", page.source, methods=["POST"]),
            Route("/api/file", page.file, methods=["POST"]),
            Route("/api/tasks", page.begin, methods=["POST"]),
            Route("/api/tasks/{id}", page.task, methods=["GET", "DELETE"]),
        ],
        middleware=[Middleware(Guard, hosts=hosts, token=token, any_address=any_address)],
        exception_handlers={SteelyardError: _told, Exception: _broken},
        lifespan=lifespan,
    )


class Page:
    """The handlers of one server, with what it keeps."""

    def __init__(self, folder: Path, token: str) -> None:
        """Take the folder for pasted models and the secret of the page."""
        self.answers, self.tasks = answer.Answers(folder), Tasks(folder)
        self._statics = {item.name: item for item in resources.files("steelyard.web").joinpath("static").iterdir()}
        index = self._statics.pop("index.html").read_text(encoding="utf-8")
        self._index = index.replace("{{token}}", token).replace("{{version}}", __version__)

    def warm(self) -> None:
        """Answer the first question before it is asked."""
        with contextlib.suppress(SteelyardError):
            self.answers.of({"preset": EXAMPLE})
            for choices in CHOICES.values():
                choices()

    async def index(self, _request: Request) -> Response:
        return Response(self._index, media_type="text/html", headers=NO_STORE)

    async def static(self, request: Request) -> Response:
        name = request.path_params["name"]
        if name == "report.css":
            return Response(own("page.css"), media_type="text/css")
        if name not in self._statics:
            return JSONResponse({"error": "no such file"}, status_code=MISSING)
        file = self._statics[name]
        return Response(file.read_bytes(), media_type=TYPES[Path(name).suffix])

    async def plotly(self, _request: Request) -> Response:
        path = resources.files("plotly") / "package_data" / "plotly.min.js"
        return FileResponse(str(path), media_type="text/javascript", headers={"cache-control": "max-age=604800"})

    async def start(self, _request: Request) -> Response:
        return _json(await run_in_threadpool(_start))

    async def compare(self, request: Request) -> Response:
        asked = await _asked(request, "state")
        return _json(await run_in_threadpool(lambda: answer.shown(*self.answers.of(asked["state"]))))

    async def explain(self, request: Request) -> Response:
        asked = await _asked(request, "state", "factor")
        of = self.answers.of
        return _json(await run_in_threadpool(lambda: answer.explained(of(asked["state"])[1], str(asked["factor"]))))

    async def source(self, request: Request) -> Response:
        asked = await _asked(request, "source")
        return _json(await run_in_threadpool(answer.sourced, str(asked["source"])[:500]))

    async def file(self, request: Request) -> Response:
        asked = await _asked(request, "state", "form")
        of = self.answers.of
        name, content = await run_in_threadpool(lambda: answer.file_of(*of(asked["state"]), str(asked["form"])))
        return _json({"name": name, "content": content})

    async def begin(self, request: Request) -> Response:
        asked = await _asked(request, "kind", "state", "options")
        started = await run_in_threadpool(self.tasks.start, str(asked["kind"]), asked["state"], asked["options"])
        return _json({"id": started})

    async def task(self, request: Request) -> Response:
        act = self.tasks.cancel if request.method == "DELETE" else self.tasks.look
        found: Task | None = await run_in_threadpool(act, request.path_params["id"])
        if found is None:
            return JSONResponse({"error": "no such task; start it again"}, status_code=MISSING)
        return _json(found.to_dict())


def _start() -> dict[str, Any]:
    return {
        "presets": [preset.to_dict() for preset in presets().values()],
        "controls": [control.to_dict() for control in controls.controls().values()],
        "tasks": list(WORK),
        "choices": {name: list(choices()) for name, choices in CHOICES.items()},
    }


async def _asked(request: Request, *fields: str) -> dict[str, Any]:
    """Return the fields of a request, all of them there and no other.

    Raises:
        InputError: Not JSON, or other fields.
    """
    try:
        found = json.loads(await request.body(), parse_constant=_no_number)
    except (ValueError, RecursionError):
        raise InputError("the request is not valid JSON") from None
    if not isinstance(found, dict) or set(found) != set(fields):
        raise InputError(f"a request here has the fields {', '.join(fields)}")
    return found


def _no_number(name: str) -> NoReturn:
    raise ValueError(name)


def _json(content: Any) -> Response:
    text = json.dumps(content, allow_nan=False, ensure_ascii=False, separators=(",", ":"))
    return Response(text, media_type="application/json", headers=NO_STORE)


async def _told(_request: Request, error: Exception) -> Response:
    status = BUSY if isinstance(error, BusyError) else WRONG
    return JSONResponse({"error": str(error)}, status_code=status, headers=NO_STORE)


async def _broken(_request: Request, error: Exception) -> Response:
    told = f"internal error: {type(error).__name__}; please report it with what you asked"
    return JSONResponse({"error": told}, status_code=INTERNAL, headers=NO_STORE)
