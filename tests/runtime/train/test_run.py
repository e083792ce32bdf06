"""Whole runs of a tiny model, in this process: what comes out, and that an interrupted run goes on exactly."""

import dataclasses
import json
import math
import os
import re
import shutil
import signal
from contextlib import ExitStack, contextmanager

import pytest

from steelyard.errors import InputError, OutsideProgramError, SteelyardError
from steelyard.records.training import Ended, Evaluated, Saved, Started, Stepped, kept

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from steelyard.runtime.train import Watch, read_log, train  # noqa: E402
from steelyard.runtime.train.passes import Passes  # noqa: E402


class Killed(BaseException):
    """Stands for a kill at a moment of our choice."""


def killed_after(kind, step):
    def hear(event):
        if isinstance(event, kind) and event.step == step:
            raise Killed

    return Watch(on_event=hear)


def losses(out):
    return {event.step: event.loss_nats for event in kept(read_log(out / "events.jsonl")) if isinstance(event, Stepped)}


@pytest.fixture(scope="module")
def whole(tiny, tmp_path_factory):
    """A run from start to end: its job and how it ended."""
    job = tiny(tmp_path_factory.mktemp("runs") / "whole")
    return job, train(job)


def test_a_run_tells_what_it_did(whole):
    job, ended = whole
    assert (ended.step, ended.tokens, ended.reason) == (8, 8 * 4 * 32, "tokens")
    events = read_log(job.out / "events.jsonl")
    assert isinstance(events[0], Started)
    assert events[-1] == ended
    assert [event.step for event in events if isinstance(event, Stepped)] == list(range(1, 9))
    assert [event.step for event in events if isinstance(event, Evaluated)] == [3, 6, 8]
    assert [event.step for event in events if isinstance(event, Saved)] == [3, 6, 8]
    assert [event.elapsed_s for event in events] == sorted(event.elapsed_s for event in events)
    # a fresh model guesses evenly over its 400 tokens
    first = losses(job.out)[1]
    assert first == pytest.approx(math.log(400), abs=0.3)
    assert losses(job.out)[8] < first


def test_the_parameters_told_are_those_of_the_model(whole):
    job, _ = whole
    start = read_log(job.out / "events.jsonl")[0]
    model = transformers.AutoModelForCausalLM.from_pretrained(job.out / "model")
    assert start.params == model.num_parameters() == pytest.approx(60_000, rel=0.02)
    # 6 FLOP per matrix parameter and token, the embedding only as the head; causal attention adds 12 L d (T + 1) / 2
    config = model.config
    matrices = sum(p.numel() for p in model.parameters() if p.dim() == 2)
    attention = 6 * config.num_hidden_layers * config.hidden_size * (32 + 1)
    assert start.flop_per_token == pytest.approx(6 * matrices + attention, rel=1e-9)


def test_transformers_loads_what_was_trained(whole):
    job, _ = whole
    tokenizer = transformers.AutoTokenizer.from_pretrained(job.out / "model")
    model = transformers.AutoModelForCausalLM.from_pretrained(job.out / "model")
    assert (job.out / "model" / "model.safetensors").is_file()
    text = "def wrap(text, width=70):\n    return text  # übrig\n"
    assert tokenizer.decode(tokenizer(text)["input_ids"]) == text
    assert model.config.vocab_size == len(tokenizer) == 400
    with torch.no_grad():
        answer = model.generate(**tokenizer(text, return_tensors="pt", return_token_type_ids=False), max_new_tokens=4)
    assert answer.shape[0] == 1


def test_the_exported_model_has_the_loss_that_was_told(whole):
    from steelyard.runtime.train.shards import HELD_OUT, Sequences

    job, _ = whole
    told = [event for event in read_log(job.out / "events.jsonl") if isinstance(event, Evaluated)][-1]
    model = transformers.AutoModelForCausalLM.from_pretrained(job.out / "model")
    held_out = Sequences(job.out / "tokens", HELD_OUT, 32)
    numbers = [int(at * (len(held_out) - 1) / 7) for at in range(8)]
    rows = torch.from_numpy(held_out.rows(numbers))
    with torch.no_grad():
        loss = model(input_ids=rows, labels=rows).loss  # transformers shifts: each row's first token has no target
    assert told.held_out_loss_nats == pytest.approx(loss.item(), rel=1e-5)


@pytest.mark.parametrize(("kind", "step"), [(Stepped, 5), (Saved, 6), (Evaluated, 3), (Stepped, 2)])
def test_a_run_goes_on_exactly_as_if_it_had_not_been_killed(tiny, whole, tmp_path, kind, step):
    job = tiny(tmp_path / "run")
    with pytest.raises(Killed):
        train(job, killed_after(kind, step))
    ended = train(job)
    assert ended.step == 8
    assert losses(job.out) == losses(whole[0].out)  # to the last bit
    starts = [event.step for event in read_log(job.out / "events.jsonl") if isinstance(event, Started)]
    assert starts == [0, step // 3 * 3 if kind is not Evaluated else 0]
    one, two = (
        transformers.AutoModelForCausalLM.from_pretrained(folder / "model").state_dict()
        for folder in (job.out, whole[0].out)
    )
    assert all(torch.equal(one[name], two[name]) for name in two)


def test_a_run_that_has_ended_is_not_run_again_until_its_limits_are_widened(tiny, tmp_path):
    job = tiny(tmp_path / "run", limits={"tokens": 3 * 128})
    train(job)
    lines = (job.out / "events.jsonl").read_text()
    assert train(job).step == 3
    assert (job.out / "events.jsonl").read_text() == lines
    assert train(tiny(tmp_path / "run", limits={"tokens": 5 * 128})).step == 5


def test_another_job_does_not_take_the_folder(tiny, whole, tmp_path):
    out = whole[0].out
    with pytest.raises(InputError, match="holds a run with another learning_rate"):
        train(tiny(out, learning_rate=0.5))
    (tmp_path / "stranger.txt").write_text("mine")
    with pytest.raises(InputError, match=r"is no run and not empty \(it holds stranger.txt\)"):
        train(tiny(tmp_path))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_run_after_its_step_and_the_rest_goes_on_exactly(tiny, whole, tmp_path, number):
    job = tiny(tmp_path / "run")

    def hear(event):
        if isinstance(event, Stepped) and event.step == 4:
            os.kill(os.getpid(), number)

    ended = train(job, Watch(on_event=hear))
    assert (ended.reason, ended.step) == ("interrupted", 4)
    assert not (job.out / "model").exists()
    assert train(job).step == 8
    assert losses(job.out) == losses(whole[0].out)
    assert [event.step for event in read_log(job.out / "events.jsonl") if isinstance(event, Started)] == [0, 4]


def test_limits_of_time_money_and_loss_end_a_run(tiny, whole, tmp_path):
    shutil.copytree(whole[0].out, tmp_path / "run")
    wide = {"tokens": 10**6}
    assert train(tiny(tmp_path / "run", limits=wide | {"time": "1 ms"})).reason == "time"
    watch = Watch(cost_usd=lambda device_s: 1000.0 * device_s)
    assert train(tiny(tmp_path / "run", limits=wide | {"usd": 1}), watch).reason == "usd"
    ended = train(tiny(tmp_path / "run", limits=wide | {"target_loss": 5.9}))
    assert ended.reason == "target_loss"
    judged = [event for event in read_log(tmp_path / "run" / "events.jsonl") if isinstance(event, Evaluated)]
    assert judged[-1].held_out_loss_nats <= 5.9


def test_a_loss_that_is_no_number_is_one_clear_line(tiny, tmp_path, monkeypatch):
    monkeypatch.setattr(Passes, "train", lambda *_args, **_: torch.tensor(math.nan))
    with pytest.raises(SteelyardError, match="the loss became nan at step 1; lower learning_rate"):
        train(tiny(tmp_path / "run"))


@pytest.mark.parametrize("gradient_clip", [1.0, 0.0])
def test_a_gradient_that_is_no_number_reaches_no_checkpoint(tiny, tmp_path, monkeypatch, gradient_clip):
    job, calm = (tiny(tmp_path / name, gradient_clip=gradient_clip) for name in ("run", "calm"))
    real, asked = Passes.train, []

    def spoilt_at_the_sixth(passes, rows, *, batch):  # its loss is finite, and the state after it is due to be saved
        loss = real(passes, rows, batch=batch)
        asked.append(loss)
        if len(asked) == 6:
            next(passes.model.parameters()).grad.view(-1)[0] = math.inf
        return loss

    with monkeypatch.context() as patch:
        patch.setattr(Passes, "train", spoilt_at_the_sixth)
        last = job.out / "checkpoints" / "step-000000003"
        with pytest.raises(
            SteelyardError, match=f"no finite numbers.* at step 6; .*good checkpoint is {re.escape(str(last))}"
        ):
            train(job)
    assert list(last.parent.iterdir()) == [last]
    judged = [event for event in read_log(job.out / "events.jsonl") if isinstance(event, Evaluated)]
    assert [event.step for event in judged] == [3]
    train(job)
    train(calm)
    assert losses(job.out) == losses(calm.out)  # it went on from the third step


def test_adapters_change_the_model_they_are_merged_into(tiny, whole, tmp_path):
    pytest.importorskip("peft")
    base = whole[0].out / "model"
    changes = {"finetune": str(base), "tokenizer": None, "model": None, "lora": {"rank": 2}, "learning_rate": 0.01}
    job = tiny(tmp_path / "run", **changes)
    train(job)
    start = read_log(job.out / "events.jsonl")[0]
    assert start.trained_params < 0.3 * start.params
    assert (job.out / "adapter" / "adapter_model.safetensors").is_file()
    before, after = (
        transformers.AutoModelForCausalLM.from_pretrained(p).state_dict() for p in (base, job.out / "model")
    )
    assert before.keys() == after.keys()
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed
    assert all("proj" in name for name in changed)  # the linear layers, no embedding and no norm


def test_full_fine_tuning_begins_where_the_model_is(tiny, whole, tmp_path):
    job = tiny(tmp_path / "run", finetune=str(whole[0].out / "model"), tokenizer=None, model=None)
    train(job)
    assert losses(job.out)[1] < losses(whole[0].out)[1] - 0.1


def test_a_half_written_event_is_dropped(tiny, whole, tmp_path):
    shutil.copytree(whole[0].out, tmp_path / "run")
    log = tmp_path / "run" / "events.jsonl"
    log.write_text(log.read_text() + '{"event": "step", "st')
    assert train(tiny(tmp_path / "run")).step == 8
    assert train(tiny(tmp_path / "run", limits={"tokens": 9 * 128})).step == 9
    assert all(json.loads(line) for line in log.read_text().splitlines())


def test_a_checkpoint_that_cannot_be_read_is_named(tiny, whole, tmp_path):
    shutil.copytree(whole[0].out, tmp_path / "run")
    last = tmp_path / "run" / "checkpoints" / "step-000000008"
    for shard in last.glob("*.distcp"):
        shard.write_bytes(shard.read_bytes()[:100])
    wider = tiny(tmp_path / "run", limits={"tokens": 9 * 128})
    with pytest.raises(OutsideProgramError, match=f"{last} cannot be read: .*; remove it to resume") as caught:
        train(wider)
    assert "\n" not in str(caught.value)
    shutil.rmtree(last)
    assert train(wider).step == 9


def test_ended_says_what_the_judge_found(tiny, tmp_path):
    job = tiny(tmp_path / "run", limits={"tokens": 128})
    ended = train(job, Watch(judge=lambda likelihoods, text: {"first": float(likelihoods(text.rows([0]))[0, 0] < 0)}))
    assert ended.accuracy_ratio == {"first": 1.0}
    assert dataclasses.asdict(read_log(job.out / "events.jsonl")[-1]) == dataclasses.asdict(ended)
    assert isinstance(ended, Ended)


def test_whoever_examines_the_written_model_adds_to_what_the_judge_found(tiny, tmp_path):
    job = tiny(tmp_path / "run", limits={"tokens": 128})
    watch = Watch(
        judge=lambda *_: {"first": 1.0}, examine=lambda folder: {"second": float((folder / "config.json").is_file())}
    )
    assert train(job, watch).accuracy_ratio == {"first": 1.0, "second": 1.0}


@contextmanager
def largest_file(size_bytes):
    """No file grows beyond a size, as if the disk were full."""
    resource = pytest.importorskip("resource")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_disk_that_is_full_before_the_first_step_or_after_the_last_is_one_clear_line(tiny, tmp_path):
    job = tiny(tmp_path / "run", limits={"tokens": 128})
    with largest_file(1000), pytest.raises(InputError, match=r"out: .* cannot be written: File too large; give"):
        train(job)  # the tokenizer
    with ExitStack() as full:

        def fill(_likelihoods, _text):
            full.enter_context(largest_file(100_000))
            return {}

        with pytest.raises(OutsideProgramError, match="model cannot be written: File too large"):
            train(job, Watch(judge=fill))
    assert not (job.out / "model").exists()
    assert train(job).step == 1
    assert (job.out / "model" / "model.safetensors").is_file()


def test_a_full_disk_is_one_clear_line_and_leaves_the_last_good_checkpoint(tiny, whole, tmp_path):
    shutil.copytree(whole[0].out, tmp_path / "run")
    wider = tiny(tmp_path / "run", limits={"tokens": 9 * 128})
    with largest_file(200_000), pytest.raises(OutsideProgramError, match="cannot be written") as caught:
        train(wider)  # a checkpoint takes 800 kB
    folder = tmp_path / "run" / "checkpoints"
    assert str(caught.value) == (
        f"checkpoint {folder / 'step-000000009'} cannot be written: File too large; "
        f"the last good one is {folder / 'step-000000008'}"
    )
    assert sorted(path.name for path in folder.iterdir()) == ["step-000000006", "step-000000008"]
    assert train(wider).step == 9


def test_a_folder_that_cannot_be_written_is_one_clear_line(tiny, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be written: Not a directory; give another folder"):
        train(tiny(tmp_path / "file" / "run"))
