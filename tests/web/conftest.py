"""A real server process, and requests with whatever headers a test wants."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("starlette")
pytest.importorskip("uvicorn")


@dataclass(frozen=True)
class Site:
    """A running page: its port, the token that it gave, its process, the folder it keeps temporary files in."""

    port: int
    token: str
    pid: int
    temporary: Path

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/"

    def send(
        self, method: str, path: str, body: bytes | None = None, *, headers: dict[str, str] | None = None
    ) -> tuple[int, bytes, dict[str, str]]:
        """Send one request as the page would; `headers` replace or, where empty, remove."""
        usual = {
            "Host": f"127.0.0.1:{self.port}",
            "Origin": f"http://127.0.0.1:{self.port}",
            "Content-Type": "application/json",
            "X-Steelyard-Token": self.token,
        }
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)
        given = {name: value for name, value in {**usual, **(headers or {})}.items() if value}
        connection.request(method, path, body=body, headers=given)
        answer = connection.getresponse()
        content = answer.read()
        connection.close()
        return answer.status, content, {name.lower(): value for name, value in answer.getheaders()}

    def post(self, path: str, content: Any) -> tuple[int, dict[str, Any]]:
        status, body, _ = self.send("POST", path, json.dumps(content).encode())
        return status, json.loads(body)

    def get(self, path: str) -> tuple[int, dict[str, Any]]:
        status, body, _ = self.send("GET", path)
        return status, json.loads(body)


def _start(temporary: Path) -> tuple[subprocess.Popen[str], int]:
    command = [sys.executable, "-m", "steelyard", "web", "--port", "0"]
    place = os.environ | {"TMPDIR": str(temporary)}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=place)
    assert process.stdout is not None
    line = process.stdout.readline()
    found = re.search(r"http://127\.0\.0\.1:(\d+)/", line)
    assert found, line
    return process, int(found[1])


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Serve the page for the tests of a module; it must still answer, and end at once, when they are over."""
    temporary = tmp_path_factory.mktemp("site")
    process, port = _start(temporary)
    try:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        connection.request("GET", "/")
        page = connection.getresponse().read().decode()
        connection.close()
        token = re.search(r'name="token" content="([^"]+)"', page)
        assert token
        served = Site(port=port, token=token[1], pid=process.pid, temporary=temporary)
        yield served
        assert served.get("/api/start")[0] == 200, "the page no longer answers"
    finally:
        process.send_signal(signal.SIGINT)
        try:
            _, complaints = process.communicate(timeout=20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            raise
    assert process.returncode == 0
    assert complaints == ""
    assert list(temporary.iterdir()) == []
