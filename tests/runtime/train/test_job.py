import pytest

from steelyard.errors import InputError
from steelyard.runtime.train.job import load_job

JOB = """
out: runs/a
data: texts
model: 3M
tokenizer: 1000
limits: {tokens: 2 Mtoken, time: 30 min, target_loss: 3.2, usd: 100}
checkpoint: {every: 50}
"""


def test_friendly_quantities_become_si(tmp_path):
    path = tmp_path / "job.yaml"
    path.write_text(JOB)
    job = load_job(path, {})
    assert job.limits.model_dump() == {"tokens": 2_000_000, "time_s": 1800.0, "target_loss_nats": 3.2, "usd": 100.0}
    assert (job.model, job.tokenizer_source, job.checkpoint.every, job.checkpoint.keep) == ("3M", 1000, 50, 2)


def test_options_go_over_the_file(tmp_path):
    path = tmp_path / "job.yaml"
    path.write_text(JOB)
    job = load_job(path, {"limits": {"tokens": "5 ktoken"}, "seed": 7})
    assert (job.limits.tokens, job.limits.usd, job.seed) == (5000, 100.0, 7)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("seed: 1", "out: is missing; every job needs it"),
        ("out: a\nmodle: 2M", "modle: no such field"),
        ("out: a\nmodle: 2M", "nearest: model"),
        ("out: a\nbatch: 0", "batch: 0 is out of range; allowed: a whole number from 1"),
        ("out: a\nlimits: {tokens: 5 s}", "limits.tokens: '5 s' is not a number of tokens"),
        ("out: a\nlimits: {time: -1 min}", "limits.time: '-1 min' is out of range"),
        ("out: a\ndtype: fp64", "dtype: 'fp64' is not known; allowed: 'auto', 'fp32' or 'bf16'"),
        ("out: a\ntokenizer: 10", "tokenizer: 10 is no size of a vocabulary"),
        ("out: a\nlora: {rank: 4}", "lora adapts an existing model; give finetune"),
        ("out: a\nmodel: 2M\nfinetune: b", "model and finetune exclude each other"),
        ("out: a\nfinetune: b\nlora: {}\nsharding: fsdp", "allowed: sharding ddp"),
        ("[1]", "stands where fields belong"),
        ("out: &a x", "line 1: anchors and aliases"),
    ],
)
def test_a_wrong_job_is_one_clear_line(tmp_path, text, words):
    path = tmp_path / "job.yaml"
    path.write_text(text)
    with pytest.raises(InputError) as caught:
        load_job(path, {})
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert words in message
    assert "\n" not in message
