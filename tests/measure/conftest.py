"""Servers on 127.0.0.1 that load is sent to."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def _sleep_server(
    log: Path | None = None, *, slots: int = 1000, ttft: str = "50ms", tpot: str = "5ms"
) -> Iterator[str]:
    port = _free_port()
    spec = {"engine": "sleep", "model": "", "name": "mock", "slots": slots, "context_tokens": 0, "threads": 1}
    spec |= {"port": port, "options": {"ttft": ttft, "tpot": tpot} | ({"log": str(log)} if log else {})}
    command = [sys.executable, "-m", "steelyard.runtime.serve.engines.sleep", json.dumps(spec)]
    server = subprocess.Popen(command, stdin=subprocess.PIPE)
    try:
        _until_answers(f"http://127.0.0.1:{port}/health")
        yield f"http://127.0.0.1:{port}"
    finally:
        server.stdin.close()
        server.terminate()
        server.wait()


def _until_answers(url: str) -> None:
    for _ in range(300):
        try:
            urllib.request.urlopen(url).close()
        except OSError:
            time.sleep(0.1)
        else:
            return
    pytest.fail(f"{url} does not answer")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture(scope="session")
def sleep_server():
    """Starts a mock server; a context manager that gives its address."""
    return _sleep_server


@pytest.fixture(scope="module")
def mock_url(sleep_server) -> Iterator[str]:
    with sleep_server() as url:
        yield url


@pytest.fixture
def canned_server() -> Iterator[Callable[[bytes], str]]:
    """Starts servers that answer every request for tokens with these bytes and hang up."""
    sockets: list[socket.socket] = []

    def start(answer: bytes) -> str:
        listening = socket.create_server(("127.0.0.1", 0))
        sockets.append(listening)
        threading.Thread(target=_answer_all, args=(listening, answer), daemon=True).start()
        return f"http://127.0.0.1:{listening.getsockname()[1]}"

    yield start
    for listening in sockets:
        listening.close()


def _answer_all(listening: socket.socket, answer: bytes) -> None:
    while True:
        try:
            connection, _ = listening.accept()
        except OSError:
            return
        with connection:
            data = b""
            while b"\r\n\r\n" not in data or not data.rstrip().endswith(b"}"):
                received = connection.recv(65536)
                if not received:
                    break
                data += received
            connection.sendall(answer)
