"""Load on real servers on 127.0.0.1."""

from __future__ import annotations

import asyncio
import base64
import csv
import http.server
import json
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path

import numpy as np
import pytest

from steelyard.cli.main import run
from steelyard.errors import OutsideProgramError, UnknownError
from steelyard.measure.load import client, closed_plan, find_endpoint, measure_load, open_plan, run_loop, sweep
from steelyard.measure.load import run as run_module
from steelyard.records.serving_metrics import serving_metrics
from steelyard.records.workload import Lengths, Objective

pytest.importorskip("uvicorn", reason="serving needs the extra [run]")

LENGTHS = Lengths(isl_tokens=np.array([12.0]), osl_tokens=np.array([6.0]))


def _endpoint(url: str, **options):
    return run_loop(find_endpoint(url, model=None, **({"api": "completions", "timeout_s": 20.0} | options)))


@pytest.mark.parametrize("api", ["completions", "chat"])
def test_every_request_is_answered_and_counted(mock_url: str, api: str) -> None:
    events = measure_load(_endpoint(mock_url, api=api), open_plan(LENGTHS, 60.0, num_requests=60))
    assert events.error == ("",) * 60
    assert (events.osl_tokens == 6).all()
    assert (events.isl_tokens == 12).all()
    assert (events.ttft_s >= 0.049).all()
    assert (events.e2e_s >= 0.074).all()
    assert (events.arrival_s <= events.sent_s).all()
    assert (events.sent_s < events.first_token_s).all()
    assert len(events.gaps_s) == 60 * 5


def test_times_are_those_of_the_server(sleep_server, tmp_path: Path) -> None:
    log = tmp_path / "server.jsonl"
    with sleep_server(log, ttft="200ms", tpot="20ms") as url:
        events = measure_load(_endpoint(url), open_plan(LENGTHS, 20.0, num_requests=40))
    rows = [json.loads(line) for line in log.read_text().splitlines()][1:]  # the first is the probe
    assert len(rows) == 40
    theirs = np.array([row["end_s"] - row["arrival_s"] for row in rows])
    # The way there and back is the client's, however long a busy machine makes it; the server may be late to note that
    # it has sent. Of 40 requests one at least is not held up.
    assert np.median(theirs) * 0.99 < np.median(events.e2e_s)
    assert events.e2e_s.min() < theirs.min() * 1.25


def test_waiting_for_a_slow_server_counts_from_when_a_request_was_due(sleep_server) -> None:
    with sleep_server(slots=1, ttft="100ms", tpot="1ms") as url:
        events = measure_load(_endpoint(url), open_plan(LENGTHS, 50.0, num_requests=20, arrival_cv_ratio=0.0))
    # One at a time takes 100 ms, due every 20 ms: the last waits for 19 others, and its TTFT says so.
    assert events.ttft_s[-1] > 1.4
    assert (np.diff(events.ttft_s) > 0).mean() > 0.8


def test_a_closed_loop_never_has_more_in_flight_than_users(mock_url: str) -> None:
    events = measure_load(_endpoint(mock_url), closed_plan(LENGTHS, 4, num_requests=24))
    assert events.answered.all()
    assert len(events) == 24
    changes = sorted([(start, 1) for start in events.sent_s] + [(end, -1) for end in events.end_s])
    assert np.cumsum([step for _, step in changes]).max() <= 4


def test_time_bounds_a_closed_loop(mock_url: str) -> None:
    events = measure_load(_endpoint(mock_url), closed_plan(LENGTHS, 2, num_requests=10_000, duration_s=0.5))
    assert 0 < len(events) < 100


OPEN = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n"


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (b"HTTP/1.1 503 No\r\ncontent-length: 2\r\nconnection: close\r\n\r\nno", "http 503"),
        (OPEN + b'data: {"choices": [{"text": "a"}]}\n\n', "cut off"),
        (OPEN + b'data: {"choices": [{"text": "a"}]}\n\ndata: {"error": {"message": "x"}}\n\n', "error in stream"),
        (b"", "disconnected"),
    ],
)
def test_failures_are_counted_by_kind(canned_server, answer: bytes, kind: str) -> None:
    from steelyard.measure.load import Endpoint

    endpoint = Endpoint(url=f"{canned_server(answer)}/v1", model="m", api="completions", timeout_s=5.0, headers={})
    found = serving_metrics(measure_load(endpoint, closed_plan(LENGTHS, 1, num_requests=3)))
    assert found.errors == {kind: 3}
    assert found.num_answered == 0


def test_a_server_too_slow_for_the_timeout(sleep_server) -> None:
    with sleep_server(ttft="100ms") as url:
        endpoint = _endpoint(url)
    from dataclasses import replace

    with sleep_server(ttft="5s") as url:
        slow = replace(endpoint, url=f"{url}/v1", timeout_s=0.3)
        assert measure_load(slow, closed_plan(LENGTHS, 1, num_requests=1)).error == ("timeout",)


def test_a_fault_of_our_own_is_no_request_that_nobody_sent(mock_url: str, monkeypatch) -> None:
    endpoint = _endpoint(mock_url)

    async def broken(*_: object) -> None:
        raise KeyError("ours")

    monkeypatch.setattr(run_module, "ask", broken)
    for plan in (open_plan(LENGTHS, 100.0, num_requests=2), closed_plan(LENGTHS, 1, num_requests=2)):
        with pytest.raises((KeyError, ExceptionGroup)):
            measure_load(endpoint, plan)


def test_a_long_list_of_models_may_come_in_pieces() -> None:
    listed = json.dumps({"data": [{"id": f"model-{number}"} for number in range(2000)]}).encode()
    head = b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\nconnection: close\r\n\r\n" % len(listed)

    async def look(url: str) -> None:
        await find_endpoint(url, model="model-1x", api="chat", timeout_s=5.0)

    with pytest.raises(UnknownError, match="nearest: model-1"):
        asyncio.run(_asked_of(look, head + listed[:100], listed[100:]))


def test_no_compressed_answer_is_asked_for() -> None:
    async def post(url: str) -> None:
        async with client.session(5.0, {}) as asking:
            await client.ask(asking, url, b"{}")

    sent = asyncio.run(_asked_of(post, b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"))
    assert "accept-encoding: identity" in sent.lower()


async def _asked_of(asking: Callable[[str], Awaitable[None]], *pieces: bytes) -> str:
    """Return the head of the request that somebody sends to a server, which answers with pieces one after the other."""
    seen: list[bytes] = []
    answered = asyncio.Event()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(await reader.readuntil(b"\r\n\r\n"))
        for piece in pieces:
            await asyncio.sleep(0.05)
            writer.write(piece)
            await writer.drain()
        writer.close()
        await writer.wait_closed()
        answered.set()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        try:
            await asking(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
        finally:
            await answered.wait()
    return seen[0].decode()


def test_nobody_there_is_one_clear_error() -> None:
    with pytest.raises(OutsideProgramError, match="cannot be reached"):
        _endpoint("http://127.0.0.1:1")


@pytest.mark.slow
def test_a_sweep_finds_the_knee(sleep_server) -> None:
    # 2 slots of 100 ms: 20 requests/s at most; with Poisson arrivals the wait grows below that.
    with sleep_server(slots=2, ttft="95ms", tpot="1ms") as url:
        found = sweep(_endpoint(url), LENGTHS, Objective(ttft_s=0.4), step_s=4.0)
    assert 5.0 < found.knee_request_rate_per_s < 20.0
    assert not found.points[-1].sustained


def test_the_command_prints_a_table_writes_events_and_json(mock_url: str, tmp_path: Path, capsys) -> None:
    events = tmp_path / "events.csv"
    asked = ["measure", "serve", "--url", mock_url, "--rate", "50", "--requests", "10", "--isl", "8", "--osl", "3"]
    assert run([*asked, "--ttft", "1ms", "--events", str(events)]) == 0
    told = capsys.readouterr()
    assert "10 of 10 requests answered" in told.out
    assert "Goodput 0" in told.out
    assert "too few for a p99" in told.err
    rows = list(csv.DictReader(events.read_text().splitlines()))
    assert len(rows) == 10
    assert rows[0]["osl_tokens"] == "3"
    assert rows[0]["error"] == ""
    assert run([*asked, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["schema"] == "steelyard/measure-serve/1"
    assert document["result"]["num_answered"] == 10


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--url", "http://127.0.0.1:1"], 2, "--sweep"),
        (["--url", "nothing", "--rate", "1"], 2, "is no address"),
        (["--url", "http://127.0.0.1:1", "--rate", "1"], 4, "is the server running"),
        (["--url", "http://127.0.0.1:1", "--rate", "1", "--events", "x.txt"], 2, ".jsonl"),
        (["--url", "http://127.0.0.1:1", "--rate", "1", "--ttft", "3 kg"], 2, "unit"),
    ],
)
def test_wrong_input_is_one_line(arguments: list[str], code: int, words: str, capsys) -> None:
    assert run(["measure", "serve", *arguments]) == code
    told = capsys.readouterr().err
    assert words in told
    assert told.count("\n") == 1


LOGIN = base64.b64encode("me:pa/ss:wörd".encode()).decode()


@pytest.fixture
def locked_server():
    """An address that answers those who log in as `me` with `pa/ss:wörd`; its port, and the logins it was sent."""
    sent: list[str | None] = []

    class Answer(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.answer(b'{"data": [{"id": "m"}]}', "application/json")

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            token = b'data: {"choices": [{"text": "a"}]}\n\n'
            self.answer(token * 2 + b"data: [DONE]\n\n", "text/event-stream")

        def answer(self, body: bytes, kind: str) -> None:
            sent.append(self.headers["authorization"])
            self.send_response(200 if sent[-1] == f"Basic {LOGIN}" else 401)
            self.send_header("content-type", kind)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answer) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield server.server_port, sent
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("form", [[], ["--json"]])
def test_a_password_in_the_address_is_sent_and_not_shown(locked_server, tmp_path, capsys, monkeypatch, form) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "not this one")
    port, sent = locked_server
    url, events = f"http://me:pa%2Fss:w%C3%B6rd@127.0.0.1:{port}", tmp_path / "events.jsonl"
    asked = ["measure", "serve", "--url", url, "--concurrency", "1", "--requests", "2", "--events", str(events)]
    assert run([*asked, *form]) == 0
    assert len(sent) == 4  # the models, a small request, two of the load
    shown = "".join(capsys.readouterr()) + events.read_text()
    assert f"127.0.0.1:{port}" in shown
    assert "rd@" not in shown
    assert "pa%2Fss" not in shown
    assert "pa/ss" not in shown


@pytest.mark.parametrize(
    ("url", "code"),
    [
        ("http://me:secret@127.0.0.1:1", 4),
        ("http://me:secret@127.0.0.1:1000000", 2),
        ("http://me:se/secret@127.0.0.1:1", 2),
        ("http://me:se@secret@", 2),
        ("http://me:secret@[::1", 2),
        ("me:secret@127.0.0.1:1", 2),
        ("ftp://me:secret@127.0.0.1", 2),
    ],
)
def test_a_fault_does_not_tell_the_password_in_the_address(url: str, code: int, capsys) -> None:
    assert run(["measure", "serve", "--url", url, "--rate", "1"]) == code
    told = capsys.readouterr()
    assert "secret" not in told.out + told.err
    assert told.err.count("\n") == 1


def test_a_wrong_password_is_one_line(locked_server, capsys) -> None:
    port, _ = locked_server
    assert run(["measure", "serve", "--url", f"http://me:wrong@127.0.0.1:{port}", "--rate", "1"]) == 4
    assert "another user and password" in capsys.readouterr().err


def test_no_load_sends_a_prompt_of_the_one_before(monkeypatch, mock_url):
    endpoint, sent, written = _endpoint(mock_url), [], client.body

    def noted(api: str, model: str, text: str, *rest: object) -> bytes:
        sent.append(text)
        return written(api, model, text, *rest)

    monkeypatch.setattr(client, "body", noted)
    plan = closed_plan(LENGTHS, 1, num_requests=4)
    for _ in range(2):
        measure_load(endpoint, plan)
    assert len({text[:30] for text in sent}) == len(sent) == 8
    assert [len(text.split()) for text in sent[:4]] == [len(text.split()) for text in sent[4:]]
