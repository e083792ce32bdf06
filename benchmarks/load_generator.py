#!/usr/bin/env python3
"""CPU time of load generators against one mock server, start-up apart, and agreement with the server's own log.

`python benchmarks/load_generator.py --requests 20000 --peers FOLDER`: FOLDER is a virtual environment of its own with
`guidellm` and `aiperf`, and in it `tokenizer/`, any tokenizer in Hugging Face's layout. All send to 127.0.0.1 only.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

import numpy as np

USERS, RATE, ISL, OSL = 64, 80, 128, 16  # users of the peers; ours sends about as many requests a second, open loop


def main() -> None:
    """Print requests per CPU-second of each tool, and the percentiles of ours beside the server's."""
    asked = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    asked.add_argument("--requests", type=int, default=20_000)
    asked.add_argument("--peers", type=Path)
    options = asked.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "server.jsonl"
        port, server = _mock_server(log)
        try:
            ours = ("steelyard", _steelyard(port, Path(folder)), {})
            tools = [ours, *(_peers(port, options.peers, Path(folder)) if options.peers else ())]
            for name, command, variables in tools:
                before = _cpu_s(command, 20, variables)
                log.write_text("")
                spent = _cpu_s(command, options.requests, variables) - before
                rate = options.requests / spent
                print(f"{name:10} start-up {before:6.1f} CPU-s, {rate:8.0f} requests per CPU-s", flush=True)
                if name == ours[0]:
                    _compare(Path(folder) / "events.jsonl", log)
        finally:
            server.terminate()
            server.wait()


def _mock_server(log: Path) -> tuple[int, subprocess.Popen[bytes]]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    spec = {"engine": "sleep", "model": "", "name": "mock", "slots": 10_000, "context_tokens": 0, "threads": 1}
    spec |= {"port": port, "options": {"ttft": "200ms", "tpot": "20ms", "log": str(log)}}
    command = [sys.executable, "-m", "steelyard.runtime.serve.engines.sleep", json.dumps(spec)]
    server = subprocess.Popen(command, stdin=subprocess.PIPE)
    for _ in range(300):
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/health")
        except OSError:
            time.sleep(0.1)
        else:
            break
    return port, server


def _steelyard(port: int, folder: Path) -> list[str]:
    return [
        str(Path(sys.executable).with_name("steelyard")), "measure", "serve", "--url", f"http://127.0.0.1:{port}",
        "--rate", str(RATE), "--isl", str(ISL), "--osl", str(OSL), "--duration", "30min",
        "--events", str(folder / "events.jsonl"), "--requests", "{requests}",
    ]  # fmt: skip


def _peers(port: int, peers: Path, folder: Path) -> list[tuple[str, list[str], dict[str, str]]]:
    url, tokenizer = f"http://127.0.0.1:{port}", peers / "tokenizer"
    aiperf = [
        str(peers / "bin" / "aiperf"), "profile", "--model", "mock", "--url", url, "--endpoint-type", "completions",
        "--streaming", "--concurrency", str(USERS), "--request-count", "{requests}", "--isl", str(ISL),
        "--osl", str(OSL), "--tokenizer", str(tokenizer), "--ui", "none", "--artifact-dir", str(folder / "aiperf"),
        "--no-gpu-telemetry", "--no-server-metrics", "--num-dataset-entries", "200", "--use-server-token-count",
    ]  # fmt: skip
    guidellm = [
        str(peers / "bin" / "guidellm"), "run", "--backend",
        f"kind=openai_http,target={url},model=mock,request_format=/v1/completions",
        "--profile", f"kind=concurrent,streams={USERS}", "--constraint", "kind=max_requests,count={requests}",
        "--tokenizer", f"kind=huggingface_auto,model={tokenizer}",
        "--data", f"kind=synthetic_text,prompt_tokens={ISL},output_tokens={OSL}",
        "--disable-console", "--output", f"kind=json,path={folder / 'guidellm.json'}",
    ]  # fmt: skip
    offline = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1"}
    return [("aiperf", aiperf, {}), ("guidellm", guidellm, offline)]


def _cpu_s(command: list[str], requests: int, variables: dict[str, str]) -> float:
    filled = [part.replace("{requests}", str(requests)) for part in command]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(filled, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=os.environ | variables)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def _compare(events: Path, log: Path) -> None:
    ours = [json.loads(line) for line in events.read_text().splitlines()]
    theirs = [json.loads(line) for line in log.read_text().splitlines()][-len(ours) :]
    for name, start, end in (("TTFT", "arrival_s", "first_token_s"), ("E2E", "arrival_s", "end_s")):
        levels = (50, 90, 95, 99)
        seen = np.percentile([row[end] - row[start] for row in ours], levels)
        kept = np.percentile([row[end] - row[start] for row in theirs], levels)
        told = ", ".join(
            f"p{level} {a * 1e3:.1f} / {b * 1e3:.1f} ms ({a / b - 1:+.1%})"
            for level, a, b in zip(levels, seen, kept, strict=True)
        )
        print(f"  {name} client / server log: {told}", flush=True)


if __name__ == "__main__":
    main()
