"""What real runs need: `steelyard serve` with an engine that only sleeps, and a little text to learn from."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import sysconfig
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

MODULES = ("argparse", "ast", "bisect", "calendar", "csv", "fractions", "heapq", "shutil", "statistics", "textwrap")


@dataclass
class Served:
    """A running service."""

    url: str
    process: subprocess.Popen

    def get(self, path: str, **headers: str) -> tuple[int, str]:
        return self.post(path, None, **headers)

    def post(self, path: str, body: object, **headers: str) -> tuple[int, str]:
        """Return status and text of an answer; a body that is not bytes is sent as JSON."""
        data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data=data, headers=headers)
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                self.headers = error.headers
                return error.code, error.read().decode()

    def replicas(self) -> list[int]:
        """Return the process ids of the replicas."""
        listed = subprocess.run(
            ["ps", "-o", "pid=", "--ppid", str(self.process.pid)], capture_output=True, text=True, check=False
        )
        return [int(number) for number in listed.stdout.split()]

    def stop(self, number: int = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        return self.process.wait(timeout=40)


@contextmanager
def _served(*arguments: str, **variables: str) -> Iterator[Served]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    engine = () if "--engine" in arguments else ("--engine", "sleep")
    command = [sys.executable, "-m", "steelyard", "serve", *engine, "--port", str(port), *arguments]
    with subprocess.Popen(command, env=os.environ | variables, stderr=subprocess.PIPE) as process:
        found = Served(f"http://127.0.0.1:{port}", process)
        try:
            for _ in range(5000):  # a large engine takes minutes; one that ends is noticed
                assert process.poll() is None, process.stderr.read().decode()
                try:
                    urllib.request.urlopen(f"{found.url}/health").close()
                    break
                except OSError:
                    time.sleep(0.1)
            yield found
        finally:
            if process.poll() is None:
                process.terminate()
                process.wait(timeout=60)


@pytest.fixture(scope="session")
def served():
    """Starts `steelyard serve --engine sleep` with more arguments; a context manager."""
    return _served


@pytest.fixture(scope="session")
def corpus(tmp_path_factory):
    """A folder of ten Python files, about 350 KB."""
    folder = tmp_path_factory.mktemp("corpus")
    for name in MODULES:
        shutil.copy(Path(sysconfig.get_path("stdlib")) / f"{name}.py", folder)
    return folder
