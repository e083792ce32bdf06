#!/usr/bin/env python3
"""What the front door costs and what a second replica brings, with an engine that only sleeps.

`python benchmarks/serving.py`: the same closed load on one bare engine, on one replica behind the address, and on two.
`--model FILE` does the first two with a real model on llama.cpp instead.
"""

from __future__ import annotations

import argparse
import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from steelyard.measure.load import closed_plan, find_endpoint, measure_load, run_loop
from steelyard.records.serving_metrics import ServingMetrics, serving_metrics
from steelyard.records.workload import Lengths

SLOTS, REQUESTS = 8, 400
LENGTHS = Lengths(isl_tokens=np.array([64.0]), osl_tokens=np.array([32.0]))


def main() -> None:
    """Print TTFT and throughput of each."""
    asked = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    asked.add_argument("--model", default="")
    asked.add_argument("--requests", type=int, default=REQUESTS)
    asked.add_argument("--slots", type=int, default=SLOTS)
    asked.add_argument("--tpot", default="10ms", help="pace of the engine that sleeps; slower where others compute")
    options = asked.parse_args()
    engine = "llamacpp" if options.model else "sleep"
    cases = {"bare engine": _bare, "1 replica": _served(1)} | ({} if options.model else {"2 replicas": _served(2)})
    found = {}
    for name, start in cases.items():
        with start(engine, options) as url:
            users = options.slots * 8
            # twice the requests on two: beginning and end, when places are empty, weigh alike
            found[name] = _load(url, users, options.requests * (2 if name == "2 replicas" else 1))
            seen = found[name]
            print(
                f"{name:12} {seen.request_rate_per_s:7.1f} requests/s, TTFT p50 {seen.ttft.percentiles_s[50] * 1e3:.1f}"
                f" ms, E2E p50 {seen.e2e.percentiles_s[50] * 1e3:.1f} ms, errors {dict(seen.errors)}",
                flush=True,
            )
            alone = _load(url, 1, 20)
            print(f"{'':12} one user: TTFT p50 {alone.ttft.percentiles_s[50] * 1e3:.1f} ms", flush=True)
    if "2 replicas" in found:
        rates = [found[name].request_rate_per_s for name in ("1 replica", "2 replicas")]
        print(f"2 replicas over 1: {rates[1] / rates[0]:.2f}")


def _load(url: str, users: int, requests: int) -> ServingMetrics:
    endpoint = run_loop(find_endpoint(url, model=None, api="completions", timeout_s=300.0))
    return serving_metrics(measure_load(endpoint, closed_plan(LENGTHS, users, num_requests=requests)))


@contextmanager
def _bare(engine: str, asked: argparse.Namespace) -> Iterator[str]:
    port = _free_port()
    spec = {"engine": engine, "model": asked.model, "name": "m", "slots": asked.slots, "context_tokens": 0}
    spec |= {"threads": 1, "port": port, "options": {"tpot": asked.tpot}}
    yield from _running([f"steelyard.runtime.serve.engines.{engine}", json.dumps(spec)], port)


def _served(replicas: int):  # noqa: ANN202
    @contextmanager
    def start(engine: str, asked: argparse.Namespace) -> Iterator[str]:
        port = _free_port()
        arguments = ["--engine", engine, "--port", str(port), "--slots", str(asked.slots), "--threads", "1"]
        arguments += ["--replicas", str(replicas), "--option", f"tpot={asked.tpot}"]
        command = ["steelyard", "serve", *([asked.model] if asked.model else []), *arguments]
        yield from _running(command, port)

    return start


def _running(module: list[str], port: int) -> Iterator[str]:
    process = subprocess.Popen([sys.executable, "-m", *module], stdin=subprocess.PIPE, stderr=subprocess.DEVNULL)
    try:
        url = f"http://127.0.0.1:{port}"
        for _ in range(600):
            try:
                socket.create_connection(("127.0.0.1", port)).close()
                break
            except OSError:
                time.sleep(0.1)
        yield url
    finally:
        process.terminate()
        process.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


if __name__ == "__main__":
    main()
