"""Starts and stops the page's server on one address."""

from __future__ import annotations

import contextlib
import ipaddress
import socket
import threading
import webbrowser
from collections.abc import Callable

import uvicorn

from steelyard.errors import InputError
from steelyard.web.app import make_app

MAX_CONNECTIONS = 64
IDLE_S = 15


def serve(host: str, port: int, *, open_browser: bool, tell: Callable[[str], None]) -> None:
    """Serve the page until interrupted; `tell` takes the line with its address.

    Raises:
        InputError: The address cannot be listened on.
    """
    listening = _listen(host, port)
    shown = f"[{host}]" if ":" in host else host
    address = f"http://{shown}:{listening.getsockname()[1]}/"
    names = frozenset({"127.0.0.1", "localhost", "[::1]", shown})
    app = make_app(names, any_address=host in ("0.0.0.0", "::"))  # noqa: S104 - as the user said
    server = uvicorn.Server(
        uvicorn.Config(
            app,
            log_level="error",
            access_log=False,
            ws="none",
            limit_concurrency=MAX_CONNECTIONS,
            timeout_keep_alive=IDLE_S,
            timeout_graceful_shutdown=2,
            server_header=False,
        )
    )
    open_to = "" if _is_loopback(host) else "; other machines can reach it: whoever does can read and use it"
    tell(f"The page is at {address} (Ctrl-C ends it{open_to})")
    if open_browser:
        threading.Thread(target=webbrowser.open, args=(address,), daemon=True).start()
    with contextlib.suppress(KeyboardInterrupt):  # the way to end it
        server.run(sockets=[listening])


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    found = socket.socket(family, socket.SOCK_STREAM)
    found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        found.bind((host, port))
        found.listen(MAX_CONNECTIONS)  # who reads the address can connect, whatever is still being imported
    except OSError as error:
        found.close()
        reason = error.strerror or str(error)
        raise InputError(f"cannot listen on {host} port {port}: {reason}; next step: another --port") from None
    return found


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
