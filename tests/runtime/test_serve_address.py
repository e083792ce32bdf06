"""One address: what it answers and what it refuses."""

from __future__ import annotations

import json
import re
import signal
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from steelyard.cli.main import run

pytest.importorskip("uvicorn", reason="serving needs the extra [run]")


@pytest.fixture(scope="module")
def address(served: Any) -> Iterator[Any]:
    limits = ["--slots", "2", "--queue", "1", "--deadline", "1500ms", "--max-body", "20kB", "--max-tokens", "5000"]
    with served(*limits, "--option", "ttft=20ms", "--option", "tpot=2ms") as found:
        yield found


def test_models_and_health(address: Any) -> None:
    assert [entry["id"] for entry in json.loads(address.get("/v1/models")[1])["data"]] == ["sleep"]
    assert json.loads(address.get("/health")[1]) == {"status": "ok", "ready": 1, "replicas": 1}


def test_a_whole_answer_has_text_and_usage(address: Any) -> None:
    status, text = address.post("/v1/completions", {"prompt": "one two", "max_tokens": 3, "model": "sleep"})
    answer = json.loads(text)
    assert status == 200
    assert answer["choices"][0]["text"] == "word word word"
    assert answer["choices"][0]["finish_reason"] == "length"
    assert answer["usage"] == {"prompt_tokens": 2, "completion_tokens": 3, "total_tokens": 5}
    _, text = address.post("/v1/chat/completions", {"messages": [{"role": "user", "content": "x"}], "max_tokens": 1})
    assert json.loads(text)["choices"][0]["message"] == {"role": "assistant", "content": "word"}


def test_a_stream_ends_with_usage_and_the_end_mark(address: Any) -> None:
    asked = {"prompt": "one", "max_tokens": 2, "stream": True, "stream_options": {"include_usage": True}}
    _, text = address.post("/v1/completions", asked)
    *events, end = re.findall(r"^data: (.*)$", text, re.MULTILINE)
    texts = [choice["text"] for event in events for choice in json.loads(event)["choices"]]
    assert end == "[DONE]"
    assert "".join(texts) == "word word"
    assert json.loads(events[-1])["usage"]["completion_tokens"] == 2


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        (b"{", 400, "not JSON"),
        ([1], 400, "not a JSON object"),
        ({"prompt": 7}, 400, "prompt"),
        ({"prompt": "x", "model": "other"}, 400, "'other' is not served here"),
        ({"prompt": "x", "max_tokens": 6000}, 400, "5000"),
        ({"prompt": "x", "max_tokens": "many"}, 400, "max_tokens"),
        ({"prompt": "x", "temperature": -1}, 400, "temperature"),
        ({"prompt": "x" * 30_000}, 413, "20,000 bytes"),
        ({"prompt": "x", "max_tokens": 4000}, 504, "not answered within 1.5 s"),
    ],
)
def test_what_cannot_be_answered_is_refused_with_the_reason(
    address: Any, body: object, status: int, words: str
) -> None:
    got, text = address.post("/v1/completions", body)
    assert got == status
    assert words in json.loads(text)["error"]["message"]
    assert address.post("/v1/completions", {"prompt": "x", "max_tokens": 1})[0] == 200  # and nothing is left behind


def test_a_stream_that_outlives_its_deadline_ends_with_an_error(address: Any) -> None:
    status, text = address.post("/v1/completions", {"prompt": "x", "max_tokens": 4000, "stream": True})
    assert status == 200
    assert json.loads(text.strip().splitlines()[-1].removeprefix("data: "))["error"]["code"] == 504


def test_a_full_queue_refuses_at_once_and_says_when_to_come_back(address: Any) -> None:
    long = {"prompt": "x", "max_tokens": 400}  # 0.8 s; 2 slots and 1 place in the queue
    busy = [threading.Thread(target=address.post, args=("/v1/completions", long)) for _ in range(3)]
    for thread in busy:
        thread.start()
    while "steelyard_queue_requests 1.0" not in address.get("/metrics")[1]:
        assert any(thread.is_alive() for thread in busy)
    status, text = address.post("/v1/completions", long)
    assert status == 429  # at once: one that had waited would have been answered, or be over its deadline
    assert int(address.headers["retry-after"]) >= 1
    assert "waiting" in json.loads(text)["error"]["message"]
    for thread in busy:
        thread.join()


def test_metrics_count_requests_by_status(address: Any) -> None:
    address.post("/v1/completions", {"prompt": "x", "max_tokens": 1})
    text = address.get("/metrics")[1]
    assert re.search(r'steelyard_requests_total\{status="200"\} [1-9]', text)
    assert 'steelyard_replica_ready{replica="0"} 1.0' in text
    assert "steelyard_queue_requests 0.0" in text


def test_a_key_is_asked_for_where_one_is_set(served: Any) -> None:
    with served(STEELYARD_API_KEY="secret") as found:
        body = {"prompt": "x", "max_tokens": 1}
        assert found.post("/v1/completions", body)[0] == 401
        assert found.get("/v1/models", Authorization="Bearer wrong")[0] == 401
        assert found.post("/v1/completions", body, Authorization="Bearer secret")[0] == 200
        assert found.get("/health")[0] == 200


def test_a_signal_lets_begun_answers_end(served: Any) -> None:
    with served("--option", "ttft=800ms") as found:
        answers: list[Any] = []
        asking = threading.Thread(
            target=lambda: answers.append(found.post("/v1/completions", {"prompt": "x", "max_tokens": 1}))
        )
        asking.start()
        time.sleep(0.3)
        replicas = found.replicas()
        assert found.stop(signal.SIGTERM) == 0
        asking.join()
        assert answers[0][0] == 200
        assert len(replicas) == 1
        with pytest.raises(OSError, match="refused"):
            found.get("/health")


def test_replicas_end_with_a_killed_front_door(served: Any) -> None:
    with served() as found:
        (replica,) = found.replicas()
        found.stop(signal.SIGKILL)
        for _ in range(100):
            if not _alive(replica):
                return
            time.sleep(0.1)
        pytest.fail("the replica outlives its front door")


def _alive(process: int) -> bool:
    try:
        with open(f"/proc/{process}/stat", encoding="ascii") as stat:  # noqa: PTH123 - gone between look and read
            return stat.read().split()[2] != "Z"
    except OSError:
        return False


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--engine", "sleep", "--host", "0.0.0.0"], 2, "STEELYARD_API_KEY"),
        (["/no/such/model"], 2, "no such file or folder"),
        (["--engine", "slepe"], 3, "nearest: sleep"),
        (["--engine", "sleep", "--replicas", "0"], 2, "replicas"),
        (["--engine", "sleep", "--autoscale", "3:2"], 2, "least <= most"),
        (["--engine", "sleep", "--autoscale", "1:2", "--target-requests", "0"], 2, "target_requests must be above 0"),
        (["--engine", "sleep", "--gpus", "1"], 2, "give --ray"),
        (["--engine", "sleep", "--option", "tfft=1s"], 2, "nearest: ttft"),
        (["--engine", "sleep", "--option", "ttft=1kg"], 2, "option ttft of sleep"),
        ([], 2, "GGUF"),
    ],
)
def test_what_cannot_be_served_is_one_line(
    arguments: list[str], code: int, words: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("STEELYARD_API_KEY", raising=False)
    assert run(["serve", *arguments]) == code
    told = capsys.readouterr().err
    assert words in told
    assert told.count("\n") == 1
