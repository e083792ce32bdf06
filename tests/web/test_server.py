"""The page under hostile input: each gets a clear answer, and the server goes on."""

from __future__ import annotations

import json
import os
import socket
import time
from html import escape
from pathlib import Path

import pytest

from steelyard import catalog
from steelyard.cli.main import run
from steelyard.compare.scenario_file import example_path

EXAMPLE = {"preset": "example", "files": {}, "set": {}}
SCRIPT = "<script>alert(1)</script>"


def example(**changes: object) -> str:
    """Return the example as text with some lines changed."""
    text = example_path().read_text(encoding="utf-8")
    for old, new in changes.items():
        assert old in text, old
        text = text.replace(old, str(new))
    return text


def test_the_page_comes_with_a_policy_that_forbids_other_hosts(site):
    status, body, headers = site.send("GET", "/")
    assert status == 200
    assert b"<title>steelyard</title>" in body
    policy = headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "script-src 'self';" in policy
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"


def test_it_weighs_less_than_six_megabytes(site):
    names = [
        "",
        "plotly.js",
        *(f"static/{file}" for file in ("report.css", "page.css", "theme.js", "main.js", "api.js")),
    ]
    names += [f"static/{file}" for file in ("controls.js", "plots.js", "state.js", "tasks.js", "why.js", "icon.svg")]
    sizes = [len(site.send("GET", f"/{name}")[1]) for name in names]
    answer = site.send("POST", "/api/compare", json.dumps({"state": EXAMPLE}).encode())[1]
    assert sum(sizes) + len(answer) < 6e6


@pytest.mark.parametrize("host", ["evil.example", "evil.example:80", "127.0.0.1.evil.example", "", "[::2]"])
def test_another_host_name_is_refused(site, host):
    status, body, _ = site.send("GET", "/", headers={"Host": host or " "})
    assert status == 421
    assert "answers to" in json.loads(body)["error"]


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": ""},
        {"Sec-Fetch-Site": "cross-site"},
        {"X-Steelyard-Token": ""},
        {"X-Steelyard-Token": "guessed"},
    ],
)
def test_a_request_of_another_site_is_refused(site, headers):
    status, body, _ = site.send("POST", "/api/compare", json.dumps({"state": EXAMPLE}).encode(), headers=headers)
    assert status == 403
    assert "page" in json.loads(body)["error"]


def test_a_form_of_another_site_cannot_post(site):
    status, body, _ = site.send("POST", "/api/compare", b"a=b", headers={"Content-Type": "text/plain"})
    assert status == 415
    assert "JSON" in json.loads(body)["error"]


def test_a_hundred_megabytes_are_refused_and_not_kept(site):
    before = _resident_bytes(site.pid)
    status, body, _ = site.send("POST", "/api/compare", b'{"state": "' + b"x" * 100_000_000 + b'"}')
    assert status == 413
    assert "larger than 2,000,000 bytes" in json.loads(body)["error"]
    assert _resident_bytes(site.pid) - before < 50e6


def _resident_bytes(pid: int) -> float:
    status = Path(f"/proc/{pid}/statm")
    if not status.exists():
        pytest.skip("needs /proc")
    return int(status.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[1, 2", b"\xff\xfe", b"null", b'{"state": NaN}', b"[" * 100_000, b'{"other": 1}']
)
def test_malformed_json_is_told_so(site, body):
    status, content, _ = site.send("POST", "/api/compare", body)
    assert status == 422
    assert "request" in json.loads(content)["error"]


@pytest.mark.parametrize(
    "path", ["../../etc/passwd", "/etc/passwd", "....//etc/passwd", "..\\..\\etc", "~/.ssh/id_rsa"]
)
def test_no_file_of_the_machine_can_be_named(site, path):
    yaml = example(**{"gpt-oss-120b            #": f"'{path}' #"})
    for state in (
        {"yaml": yaml, "files": {}, "set": {}},
        {"yaml": example(**{"lengths: chat": f"lengths: {{trace: '{path}'}}"}), "files": {}, "set": {}},
        {**EXAMPLE, "set": {"model": path}},
        {**EXAMPLE, "files": {path: "{}"}},
        {**EXAMPLE, "preset": path},
    ):
        status, told = site.post("/api/compare", {"state": state})
        assert status == 422, state
        assert "root:" not in told["error"]
    for place in (f"/static/{path}", f"/{path}", f"/static/%2e%2e%2f{path}"):
        status, body, _ = site.send("GET", place.replace(" ", "%20"))
        assert status in {307, 404}, place
        assert b"root:" not in body


def test_a_script_in_a_name_stays_text(site):
    """A title, an API option of one's own and a pasted model can hold any letters."""
    yaml = example(
        **{
            "name: Internal assistant, 100,000 questions a day": f"name: '{SCRIPT}'",
            "[openai/gpt-6-luna, google/gemini-3.8-flash]": f"['{SCRIPT}/x']",
            "draws: 400": f"draws: 50\nprices: {{api: {{'{SCRIPT}/x': {{input: 1e-9, output: 1e-9}}}}}}",
        }
    )
    status, found = site.post("/api/compare", {"state": {"yaml": yaml, "files": {}, "set": {}}})
    assert status == 200
    assert found["title"] == SCRIPT  # put in place as text
    for name, part in found["html"].items():
        assert "<script" not in part, name
    assert "&lt;script&gt;alert(1)" in found["html"]["pay"]
    status, tree = site.post(
        "/api/explain", {"state": {"yaml": yaml, "files": {}, "set": {}}, "factor": "compute_cost"}
    )
    assert status == 200
    assert "<script" not in tree["html"]
    status, source = site.post("/api/source", {"source": SCRIPT})
    assert "<script" not in source["html"]
    assert "alert(1)" in source["html"]


def test_a_script_as_a_model_is_an_unknown_model(site):
    status, told = site.post("/api/compare", {"state": {**EXAMPLE, "set": {"model": SCRIPT}}})
    assert status == 422
    assert "unknown" in told["error"]


@pytest.mark.parametrize(
    ("state", "words"),
    [
        ({"yaml": "a: [", "files": {}, "set": {}}, "not valid YAML"),
        ({"yaml": "- 1", "files": {}, "set": {}}, "not a scenario"),
        ({"yaml": 7, "files": {}, "set": {}}, "text of a scenario"),
        ({**EXAMPLE, "set": {"load": "many"}}, "out of range"),
        ({**EXAMPLE, "set": {"load": 1e30}}, "out of range"),
        ({**EXAMPLE, "set": {"nonsense": 1}}, "unknown control"),
        ({**EXAMPLE, "set": {"devices": []}}, "at least one"),
        ({**EXAMPLE, "set": [1]}, "controls moved"),
        ({**EXAMPLE, "files": {"m.json": "{"}, "set": {"model": "m.json"}}, "m.json"),
        ([], "a question is"),
        (None, "a question is"),
    ],
)
def test_a_question_that_is_none_is_told_in_one_line(site, state, words):
    status, told = site.post("/api/compare", {"state": state})
    assert status == 422
    assert words in told["error"]
    assert "\n" not in told["error"]
    assert "Traceback" not in told["error"]


def test_only_this_machine_is_listened_to(site):
    own = {info[4][0] for info in socket.getaddrinfo(socket.gethostname(), None, socket.AF_INET)}
    others = [address for address in own if not address.startswith("127.")]
    if not others:
        pytest.skip("this machine has no other address")
    with pytest.raises(OSError, match=r"refused|unreachable|timed out"):
        socket.create_connection((others[0], site.port), timeout=5)


def test_the_downloaded_scenario_gives_identical_numbers_on_the_command_line(site, tmp_path, capsys):
    state = {**EXAMPLE, "set": {"load": 350_000, "growth": 2.5, "isl": 3000, "tpot": 40}}
    status, scenario = site.post("/api/file", {"state": state, "form": "yaml"})
    assert status == 200
    (tmp_path / scenario["name"]).write_text(scenario["content"], encoding="utf-8")
    assert run(["compare", str(tmp_path / scenario["name"]), "--json"]) == 0
    ours = json.loads(capsys.readouterr().out)
    _, page = site.post("/api/file", {"state": state, "form": "json"})
    assert json.loads(page["content"]) == ours
    assert ours["inputs"]["demand"]["requests_per_day"] == 350_000
    _, report = site.post("/api/file", {"state": state, "form": "html"})
    assert report["content"].startswith("<!DOCTYPE html>")


def test_a_pasted_model_is_served_and_downloaded_with_its_file(site, tmp_path, capsys):
    config = {"model_type": "llama", "hidden_size": 2048, "intermediate_size": 8192, "num_hidden_layers": 16}
    config |= {"num_attention_heads": 32, "num_key_value_heads": 8, "vocab_size": 128_256, "torch_dtype": "bfloat16"}
    config |= {"max_position_embeddings": 131_072}
    files = {"mine.json": json.dumps(config)}
    state = {"preset": "example", "files": files, "set": {"model": "mine.json"}}
    status, found = site.post("/api/compare", {"state": state})
    assert status == 200
    assert "mine.json on 1x" in found["html"]["pay"]
    assert str(site.temporary) not in json.dumps(found)
    for form in ("yaml", "mine.json"):
        _, file = site.post("/api/file", {"state": state, "form": form})
        (tmp_path / file["name"]).write_text(file["content"], encoding="utf-8")
    assert run(["compare", str(tmp_path / "steelyard.yaml"), "--json"]) == 0
    capsys.readouterr()


def test_a_source_is_spelt_out(site):
    known = next(source for source in catalog.sources().values() if source.url.startswith("https://"))
    _, found = site.post("/api/source", {"source": f"{known.id} (2025-04-01)"})
    assert known.id in found["html"]
    assert f'href="{escape(known.url)}"' in found["html"]


def _children(pid: int) -> set[int]:
    found = set()
    for place in Path("/proc").iterdir():
        if place.name.isdigit():
            try:
                parent = int((place / "stat").read_text().rpartition(")")[2].split()[1])
            except OSError:
                continue
            if parent == pid:
                found |= {int(place.name)} | _children(int(place.name))
    return found


def test_a_cancelled_search_stops_and_only_so_many_run(site):
    if not Path("/proc").is_dir():
        pytest.skip("needs /proc")
    before = _children(site.pid)
    task = {"kind": "plan-training", "state": EXAMPLE, "options": {"max_devices": 65_536}}
    started = [site.post("/api/tasks", task) for _ in range(3)]
    assert [status for status, _ in started] == [200, 200, 429]
    assert "running" in started[2][1]["error"]
    ids = [found["id"] for _, found in started[:2]]
    assert site.get(f"/api/tasks/{ids[0]}")[1]["status"] == "running"
    for name in ids:
        status, found = json.loads(site.send("DELETE", f"/api/tasks/{name}", b"{}")[1]), None
        assert status["status"] == "cancelled", found
    time.sleep(0.5)
    assert len(_children(site.pid) - before) <= 2  # the fork server and its tracker stay, no search does
    assert site.get("/api/tasks/none")[0] == 404


def test_an_unknown_kind_of_search_is_refused(site):
    status, told = site.post("/api/tasks", {"kind": "rm", "state": EXAMPLE, "options": {}})
    assert status == 422
    assert "unknown kind of task" in told["error"]


def _ended(site, kind, state, options):
    status, started = site.post("/api/tasks", {"kind": kind, "state": state, "options": options})
    assert status == 200
    for _ in range(600):
        found = site.get(f"/api/tasks/{started['id']}")[1]
        if found["status"] != "running":
            return found
        time.sleep(0.1)
    raise AssertionError("it does not end")


def test_a_search_that_cannot_be_says_why(site):
    yaml = example(**{"  finetune:\n": "  x:\n"})
    found = _ended(site, "plan-training", {"yaml": yaml, "files": {}, "set": {}}, {})
    assert found["status"] == "failed"
    assert "no such field" in found["error"]


HEAD = "arrival_s,isl,osl\n"


@pytest.mark.parametrize(
    ("trace", "words"),
    [
        ("a,b\n1,2\n", "line 1: no column isl_tokens"),
        ("isl,osl\n1,2\n", "line 1: no column timestamp"),
        (HEAD + "0,-5,3\n1,2,3\n", "line 2: '-5' is not a number of tokens"),
        (HEAD + f"0,{SCRIPT},3\n1,2,3\n", f"line 2: '{SCRIPT}' is not"),  # put in place as text
        (HEAD + "5,2,3\n1,2,3\n", "sort the file by time"),
        (HEAD + "1,2,3\n1,2,3\n", "at one moment"),
        (HEAD, "holds no request"),
        ('{"timestamp": 0, "input_length": 5}\n', "no column osl_tokens"),
        ("{" * 50_000, "is not a JSON object"),
        ("\ud800", "is not UTF-8"),
        (HEAD + "0,2,3\n" * 100_001, "at most 100,000 are simulated"),
        (7, "text of a CSV"),
        ({"file": "/etc/passwd"}, "text of a CSV"),
        ("/etc/passwd", "line 1: no column"),
    ],
)
def test_a_trace_that_is_none_is_told_in_one_line(site, trace, words):
    found = _ended(site, "latency", EXAMPLE, {"trace": trace})
    assert found["status"] == "failed"
    assert words in found["error"]
    assert "\n" not in found["error"]
    for never in (str(site.temporary), "steelyard-web", "root:", "internal error"):
        assert never not in found["error"]


def test_a_trace_of_ones_own_gives_the_latencies_and_leaves_nothing_behind(site):
    rows = "".join(f"{place * 0.5},{200 + place},{20 + place % 7}\n" for place in range(200))
    found = _ended(site, "latency", EXAMPLE, {"trace": HEAD + rows})
    assert found["status"] == "done", found
    assert "requests like those of trace.csv" in found["html"]
    assert str(site.temporary) not in json.dumps(found)
    assert set(found["figures"]) == {"Latency against load"}
    assert list(site.temporary.glob("steelyard-web-*"))  # it is there that the page writes
    assert not list(site.temporary.rglob("trace.*"))
