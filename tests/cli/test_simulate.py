"""`steelyard simulate serve` from the command line."""

import csv
import errno
import json
import signal
import subprocess
import sys
import time

import pytest

from steelyard.cli.main import run
from steelyard.errors import InputError
from steelyard.report import request_events as event_files

BASE = ("simulate", "serve", "--model", "llama-3.1-8b", "--on", "h100-sxm")


def outcome(capsys, *arguments, code=0):
    assert run([*BASE, *arguments]) == code
    return capsys.readouterr()


def test_the_json_document_holds_everything(capsys):
    asked = ("--load", "azure-conversation", "--requests", "4000", "--draws", "4", "--json")
    first, again = (json.loads(outcome(capsys, *asked).out) for _ in range(2))
    result = first["result"]
    assert result["num_requests"] == 4000
    assert result["elapsed_s"] > 0
    for metric in ("ttft_s", "tpot_s", "itl_s", "e2e_s"):
        assert result[metric]["p50"] <= result[metric]["p90"] <= result[metric]["p99"]
    spread = result["ranges"]["ttft_p95_s"]
    assert spread["p10"] < spread["p50"] < spread["p90"]
    assert result["usd"]["usd_per_request"]["p50"] > 0
    assert result["facility_energy_j"] > result["it_energy_j"] > 0
    assert first["inputs"]["seed"] == 0
    assert first["sources"]
    for document in (first, again):  # but for the clock, the same seed gives the same answer
        document["result"].pop("elapsed_s")
        document["result"].pop("requests_simulated_per_s")
    assert first == again


def test_a_missed_objective_says_by_how_much(capsys):
    told = outcome(capsys, "--rate", "5", "--requests", "500", "--draws", "0", "--ttft", "1ms", code=1)
    assert "objective missed: TTFT p95 is" in told.out
    assert "times the 1 ms asked" in told.out


def test_text_shows_latency_use_energy_and_money(capsys):
    told = outcome(capsys, "--concurrency", "8", "--isl", "500", "--osl", "50", "--requests", "300", "--draws", "3").out
    for part in ("TTFT", "ITL", "closed loop of 8 users", "KV cache in use", "energy per request", "USD per 1,000"):
        assert part in told


def test_a_draft_and_a_prefix_cache_shorten_what_they_should(capsys):
    common = ("--load", "chat", "--rate", "4", "--requests", "3000", "--draws", "0", "--json")

    def found(*options):
        result = json.loads(outcome(capsys, *common, *options).out)["result"]
        return result["tpot_s"]["p50"], result["ttft_s"]["p50"]

    plain, drafted, cached = found(), found("--speculative-tokens", "3"), found("--cached", "0.9")
    assert drafted[0] < 0.7 * plain[0]
    assert cached[1] < 0.7 * plain[1]
    told = outcome(capsys, *common[:-1], "--speculative-tokens", "2", "--acceptance", "0.5", "--engine-version", "0.11")
    assert "engine: vllm 0.11; a draft proposes 2 tokens, each accepted at 0.5: 1.75 tokens a step" in told.out


def test_what_a_trace_says_of_its_prefixes_is_not_overruled(capsys, tmp_path):
    trace = tmp_path / "trace.jsonl"
    line = '{"timestamp": %d, "input_length": 1024, "output_length": 8, "hash_ids": [1, %d]}\n'
    trace.write_text("".join(line % (100 * i, i + 2) for i in range(50)), encoding="utf-8")
    asked = ("--load", str(trace), "--draws", "0")
    assert "prompt blocks found in a prefix cache" in outcome(capsys, *asked).out
    refused = outcome(capsys, *asked, "--cached", "0.5", code=2).err
    assert "names the blocks that its prompts share" in refused
    assert refused.count("\n") == 1


def test_users_in_step_are_told_of(capsys):
    alike = ("--isl", "500", "--osl", "50", "--requests", "200", "--draws", "0")
    assert "users stay in step here" in outcome(capsys, *alike, "--concurrency", "8").err
    assert "in step" not in outcome(capsys, *alike, "--concurrency", "1").err
    assert "in step" not in outcome(capsys, "--requests", "200", "--draws", "0", "--concurrency", "8").err


def test_fleet_options(capsys):
    common = ("--requests", "2000", "--draws", "0")
    assert "2 prefill and 2 decode" in outcome(capsys, "--replicas", "2", "--decode-replicas", "2", *common).out
    assert "1 to 3 replicas" in outcome(capsys, "--autoscale", "1:3", "--rate", "20", *common).out
    told = outcome(capsys, "--replicas", "3", "--mtbf", "1min", "--routing", "power-of-two", *common).out
    assert "after a failure" in told


def test_every_request_as_csv(capsys, tmp_path):
    file = tmp_path / "events.csv"
    outcome(capsys, "--requests", "300", "--rate", "5", "--draws", "0", "--events", str(file))
    rows = list(csv.DictReader(file.read_text(encoding="utf-8").splitlines()))
    assert len(rows) == 270  # a tenth is warm-up
    assert tuple(rows[0]) == event_files.COLUMNS
    assert all(float(row["arrival_s"]) < float(row["first_token_s"]) <= float(row["end_s"]) for row in rows)
    assert [one.name for one in tmp_path.iterdir()] == ["events.csv"]


def test_every_request_as_parquet(capsys, tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet")
    file = tmp_path / "events.parquet"
    outcome(capsys, "--requests", "300", "--rate", "5", "--draws", "0", "--events", str(file))
    assert parquet.read_table(file).num_rows == 270


def test_energy_has_its_parts(capsys):
    found = json.loads(outcome(capsys, "--requests", "500", "--rate", "5", "--draws", "0", "--json").out)["result"]
    parts = found["energy_per_request"]
    assert all(parts[name] > 0 for name in ("device_j", "host_j", "cooling_j"))
    assert parts["it_j"] * found["num_requests"] == pytest.approx(found["it_energy_j"])
    assert parts["facility_j"] * found["num_requests"] == pytest.approx(found["facility_energy_j"])


def test_decode_workers_can_be_laid_out_otherwise(capsys):
    common = ("--requests", "1000", "--rate", "4", "--draws", "0", "--decode-replicas", "1")
    told = outcome(capsys, *common, "--decode-layout", "tp=2,max-sequences=64").out
    assert "1 prefill and 1 decode replicas (tp1 and tp2)" in told
    assert "KV cache of a mean prompt" in told
    assert "not charged" in told
    alike, wide = (
        json.loads(outcome(capsys, *common, *more, "--json").out)["result"]
        for more in ((), ("--decode-layout", "tp=4"))
    )
    assert wide["tpot_s"]["p50"] < alike["tpot_s"]["p50"]
    assert wide["device_s"] == pytest.approx(2.5 * alike["device_s"], rel=0.1)


def test_a_part_of_a_long_trace_is_read(capsys, tmp_path, monkeypatch):
    monkeypatch.setattr("steelyard.inference.trace.MAX_ROWS", 50)
    trace = tmp_path / "trace.csv"
    trace.write_text("timestamp,isl,osl\n" + "".join(f"{i},10,5\n" for i in range(100)), encoding="utf-8")
    common = ("--load", str(trace), "--draws", "0")
    assert "40 requests" in outcome(capsys, *common, "--requests", "40").out
    assert "101 lines, at most 50 requests" in outcome(capsys, *common, code=2).err


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (("--decode-layout", "tp=2"), 2, "no separate decode replicas"),
        (("--decode-replicas", "1", "--decode-layout", "tq=2"), 2, "nearest: tp"),
        (("--decode-replicas", "1", "--decode-layout", "tp=two"), 2, "tp is 'two'"),
        (("--decode-replicas", "1", "--decode-layout", "tp=2,ep=3"), 2, "ep must divide"),
        (("--decode-replicas", "1", "--decode-layout", "tp=2,tp=4"), 2, "tp is given twice"),
        (("--html", "-o", "nowhere/page.html"), 2, "cannot be written"),
        (("--rate", "5kg"), 2, "unknown unit 'kg'"),
        (("--rate", "-1"), 2, "not above 0"),
        (("--rate", "1", "--concurrency", "4"), 2, "exclude each other"),
        (("--autoscale", "many"), 2, "LEAST:MOST"),
        (("--autoscale", "5:2"), 2, "least <= most"),
        (("--isl", "100"), 2, "--isl and --osl"),
        (("--acceptance", "0.5"), 2, "no draft proposes tokens"),
        (("--cached", "1.5"), 2, "--cached"),
        (("--engine", "vllm@ghcr.io/x:v1"), 2, "behind its name is no version"),
        (("--isl", "130000", "--osl", "5000"), 2, "131,072 tokens of context"),
        (("--ttft", "0s"), 2, "above 0"),
        (("--load", "chatt"), 3, "nearest: chat"),
        (("--load", "missing.csv"), 2, "no such file"),
        (("--load", "/"), 2, "/: a folder"),
        (("--tp", "3"), 2, "allowed: tp 1, 2, 4, 8, 16 or 32"),
        (("--replicas", "1", "--decode-replicas", "1", "--decode-layout", "tp=5"), 2, "32 attention heads for 5 ranks"),
        (("--routing", "prefix"), 3, "prefix-affinity"),
        (("--engine", "vlm"), 3, "vllm"),
        (("--events", "out.xlsx"), 2, ".parquet"),
        (("--events", "nowhere/out.csv"), 2, "cannot be written"),
        (("--gaps", "normal"), 3, "weibull"),
        (("--events", "out.csv", "-o", "nowhere/out.json", "--draws", "0"), 2, "cannot be written"),
        (("--events", "out.csv", "-o", "out.csv"), 2, "the same file"),
        (("--concurrency", "4", "--cv", "2"), 2, "--cv shapes requests that come at a rate"),
        (("--concurrency", "4", "--gaps", "gamma"), 2, "--gaps shapes"),
        (("--all-at-once", "--daily"), 2, "--daily shapes"),
        (("--target-requests", "8"), 2, "--autoscale"),
        (("--autoscale", "1:4", "--replicas", "2"), 2, "leave --replicas out"),
        (("--token-budget", "64"), 2, "above the token budget 64"),
        (("--static", "--token-budget", "64"), 2, "static batch"),
        (("--max-sequences", "999999999999"), 2, "sequences at once"),
        (("--autoscale", "1:1000000000"), 2, "sequences at once"),
        (("--mtbf", "1ms"), 2, "hardly ever end"),
        (("--seed", "1" + "0" * 30), 2, "2^63"),
        (("--isl", "0.2", "--osl", "1"), 2, "between 1 and"),
        (("--price", "2.10"), 2, "'2.10' has no unit; for example '2.10 USD/device/h'"),
    ],
)
def test_bad_input_is_one_line_and_leaves_no_file(capsys, tmp_path, monkeypatch, arguments, code, told):
    monkeypatch.chdir(tmp_path)
    said = outcome(capsys, "--requests", "10", *arguments, code=code)
    assert said.out == ""
    assert said.err.count("\n") == 1
    assert told in said.err
    assert list(tmp_path.iterdir()) == []


def test_a_trace_that_breaks_leaves_no_events_file(capsys, tmp_path):
    trace = tmp_path / "trace.csv"
    trace.write_text("timestamp,isl,osl\n0,10,5\n1,-3,5\n", encoding="utf-8")
    said = outcome(capsys, "--load", str(trace), "--events", str(tmp_path / "out.csv"), code=2)
    assert "line 3" in said.err
    assert [one.name for one in tmp_path.iterdir()] == ["trace.csv"]


def test_a_disk_that_is_full_at_the_end_leaves_no_events_file(tmp_path, monkeypatch):
    def full(sink):
        sink._file.close()
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(event_files._Csv, "close", full)
    with (
        pytest.raises(InputError, match="cannot be written: No space"),
        event_files.EventFile(tmp_path / "out.csv"),
    ):
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_load_beyond_what_is_carried_has_no_range_of_its_queue(capsys):
    """The draws simulate fewer requests: their queues are shorter, and no range of the run's."""
    many = outcome(capsys, "--rate", "500", "--requests", "12000", "--draws", "3").out
    rows = {line.split()[0]: line for line in many.splitlines() if line.split()[:1] and line.split()[0].isupper()}
    assert "cannot keep up" in many
    assert "grows as long as the load lasts" in " ".join(many.split())
    assert "(" not in rows["TTFT"] + rows["E2E"]
    assert "(" in rows["TPOT"]
    few = outcome(capsys, "--rate", "1", "--requests", "400", "--draws", "3").out
    assert "grows as long" not in few
    assert " to " in next(line for line in few.splitlines() if line.startswith("TTFT"))


def test_the_rent_is_named_and_may_be_the_users_own(capsys):
    asked = ("--rate", "1", "--requests", "300", "--draws", "0")
    assert "on_demand, " in next(line for line in outcome(capsys, *asked).out.splitlines() if "rent of" in line)
    own = json.loads(outcome(capsys, *asked, "--price", "2.50 USD/h", "--json").out)["result"]["usd"]["usd_per_hour"]
    assert own["p10"] == own["p90"] == pytest.approx(2.5)


_SLOW = """
import sys, time
from steelyard.cli.main import main
from steelyard.compare.serving import traffic
traffic.simulate_serving = lambda *_, **__: time.sleep(60)
sys.argv = ["steelyard", *sys.argv[1:]]
main()
"""


def test_a_simulation_that_is_told_to_end_leaves_no_draft(tmp_path):
    command = [sys.executable, "-c", _SLOW, *BASE, "--events", str(tmp_path / "out.csv")]
    with subprocess.Popen(command, stderr=subprocess.PIPE) as process:
        for _ in range(600):
            if list(tmp_path.iterdir()):
                break
            time.sleep(0.05)
        (draft,) = tmp_path.iterdir()
        assert draft.suffix == ".part"
        process.terminate()
        _, told = process.communicate(timeout=30)
    assert process.returncode == 128 + signal.SIGTERM
    assert told == b""
    assert list(tmp_path.iterdir()) == []
