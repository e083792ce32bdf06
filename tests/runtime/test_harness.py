"""Downstream tasks through lm-evaluation-harness; those that ask a model need the extra `eval`."""

import json

import pytest

from steelyard.errors import InputError, OutsideProgramError, UnknownError
from steelyard.runtime.harness import Tasks

TASK = {
    "task": "colours", "dataset_path": "json", "dataset_kwargs": {"data_files": {"test": "colours.jsonl"}},
    "test_split": "test", "output_type": "multiple_choice", "doc_to_text": "{{question}}",
    "doc_to_choice": "{{choices}}", "doc_to_target": "{{answer}}", "metric_list": [{"metric": "acc"}],
}  # fmt: skip


@pytest.fixture
def folder(tmp_path):
    """Task files: `colours`, whose two questions differ only in which answer is called right; and wrong ones."""
    made = tmp_path / "tasks"
    made.mkdir()
    for changes in (
        {},
        {"task": "lost", "dataset_kwargs": {"data_files": {"test": "nowhere.jsonl"}}},
        {"task": "fluent", "output_type": "loglikelihood_rolling", "metric_list": [{"metric": "bits_per_byte"}]},
    ):
        task = TASK | changes
        (made / f"{task['task']}.yaml").write_text(json.dumps(task), encoding="utf-8")  # JSON is YAML
    rows = [{"question": "The sky is", "choices": [" blue", " green"], "answer": answer} for answer in (0, 1)]
    (made / "colours.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return made


def test_without_the_harness_the_line_says_what_to_install(monkeypatch):
    monkeypatch.setattr("steelyard.runtime.harness.find_spec", lambda name: None)
    with pytest.raises(OutsideProgramError, match=r"pip install 'steelyard\[eval\]'"):
        Tasks(names=["colours"]).check()


def test_a_folder_that_is_none_is_one_line(monkeypatch, tmp_path):
    monkeypatch.setattr("steelyard.runtime.harness.find_spec", lambda name: object())
    with pytest.raises(InputError, match="no such folder of task files"):
        Tasks(names=["colours"], folder=tmp_path / "none").check()
    with pytest.raises(InputError, match="no model in Hugging Face's format"):
        Tasks(names=["colours"]).accuracy(tmp_path)


@pytest.mark.slow
def test_a_model_is_right_in_one_of_two_questions_that_contradict_each_other(folder, tmp_path, corpus):
    pytest.importorskip("lm_eval")
    from steelyard.cli.main import run

    out = tmp_path / "run"
    small = ["--data", str(corpus), "--model", "60k", "--tokenizer", "400", "--sequence", "32", "--tokens", "512"]
    asked = ["--task", "colours", "--task-folder", str(folder)]
    assert run(["train", "--out", str(out), *small, "--device", "cpu", *asked]) == 0
    last = json.loads((out / "events.jsonl").read_text(encoding="utf-8").splitlines()[-1])
    assert last["accuracy_ratio"]["colours"] == 0.5
    assert Tasks(names=["colours"], folder=folder).accuracy(out / "model") == {"colours": 0.5}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "kind", "words"),
    [
        ("colors", UnknownError, "unknown task 'colors' .*colours"),
        ("lost", InputError, "task lost: its data is not on this machine: .*nowhere.jsonl"),
        ("hellaswag", InputError, "task hellaswag: its data is not on this machine"),
        ("fluent", InputError, "task fluent has no accuracy but bits_per_byte"),
    ],
)
def test_what_cannot_be_asked_is_one_line_before_training(folder, name, kind, words, monkeypatch):
    pytest.importorskip("lm_eval")
    monkeypatch.setenv("HF_HOME", str(folder / "cache"))  # no task that was loaded here before
    with pytest.raises(kind, match=words) as caught:
        Tasks(names=[name], folder=folder).check()
    assert "\n" not in str(caught.value)
