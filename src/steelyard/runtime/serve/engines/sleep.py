"""An engine that only sleeps: for tests, and to try routing, load and limits without a model."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Mapping
from functools import partial
from pathlib import Path

from steelyard.runtime.serve.local import replica_app, serve_app
from steelyard.runtime.serve.openai import Asked
from steelyard.runtime.serve.spec import Reads, ReplicaSpec, from_command_line, module_command, options_of
from steelyard.units import parse_quantity

_read_s = partial(parse_quantity, suffix="s")
OPTIONS: Mapping[str, Reads] = {"ttft": _read_s, "tpot": _read_s, "log": Path}


class SleepEngine:
    """Answers with words at a fixed pace; `slots` requests run at once, the others wait in order.

    With `log` it writes one JSON line a request: when it had been read, when its first and last token had left, how
    many there were. A load generator must come to the same percentiles.
    """

    def __init__(
        self, *, model: str, ttft_s: float, tpot_s: float, slots: int, context_tokens: int = 0, log: Path | None = None
    ) -> None:
        self.model, self.context_tokens = model, context_tokens
        self.ttft_s, self.tpot_s = ttft_s, tpot_s
        self.slots = asyncio.Semaphore(slots)
        self.log = log.open("a", buffering=1) if log is not None else None

    def count_prompt(self, asked: Asked) -> int:
        text = " ".join(message["content"] for message in asked.messages) if asked.chat else asked.prompt
        return max(len(text.split()), 1)

    async def generate(self, asked: Asked) -> AsyncIterator[str]:
        async with self.slots:
            due = time.perf_counter() + self.ttft_s
            await asyncio.sleep(self.ttft_s)
            yield "word"
            first = last = time.perf_counter()  # asked for the next, so that one has been sent
            for _ in range(asked.max_tokens - 1):
                due += self.tpot_s  # from the plan, not from now: a late wake-up is made up for
                await asyncio.sleep(max(due - time.perf_counter(), 0.0))
                yield " word"
                last = time.perf_counter()
        if self.log is not None:
            line = {"arrival_s": asked.came_s, "first_token_s": first, "end_s": last, "osl_tokens": asked.max_tokens}
            self.log.write(json.dumps(line) + "\n")


def refuse(model: str) -> str:  # noqa: ARG001 - it needs none
    return ""


def command(spec: ReplicaSpec) -> list[str]:
    return module_command("steelyard.runtime.serve.engines.sleep", spec)


def main() -> None:
    spec = from_command_line()
    options = options_of(spec, OPTIONS)
    engine = SleepEngine(
        model=spec.name,
        ttft_s=options.get("ttft", 0.05),
        tpot_s=options.get("tpot", 0.01),
        slots=spec.slots,
        context_tokens=spec.context_tokens,
        log=options.get("log"),
    )
    serve_app(replica_app(engine, spec.key), host=spec.host, port=spec.port)


if __name__ == "__main__":
    main()
