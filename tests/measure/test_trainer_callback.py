"""A Hugging Face Trainer that writes our events (needs accelerate, which the Trainer itself asks for)."""

import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
pytest.importorskip("accelerate")

from steelyard.measure.trainer_callback import TrainingEvents  # noqa: E402
from steelyard.measure.training import measure_training  # noqa: E402
from steelyard.runtime.train import read_log  # noqa: E402


@pytest.mark.filterwarnings("ignore")  # the Trainer's own
def test_a_trainer_writes_events(tmp_path):
    shape = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2}
    model = transformers.LlamaForCausalLM(transformers.LlamaConfig(vocab_size=64, **shape))
    rows = [{"input_ids": row, "labels": row} for row in torch.arange(16 * 16).view(16, 16) % 64]
    arguments = transformers.TrainingArguments(
        output_dir=str(tmp_path), max_steps=3, per_device_train_batch_size=4, logging_steps=1, eval_strategy="steps",
        eval_steps=3, use_cpu=True, report_to=[], disable_tqdm=True, save_strategy="no",
    )  # fmt: skip
    callback = TrainingEvents(tmp_path / "run" / "events.jsonl", sequence_tokens=16, bytes_per_token=2.0)
    trainer = transformers.Trainer(
        model=model, args=arguments, train_dataset=rows, eval_dataset=rows[:4], callbacks=[callback]
    )
    assert not (tmp_path / "run" / "events.jsonl").exists()  # only the process that writes opens it
    trainer.train()
    trainer.evaluate()
    told = trainer.state.log_history
    run = measure_training(read_log(tmp_path / "run" / "events.jsonl"))
    assert (run.step, run.tokens, run.reason) == (3, 3 * 4 * 16, "tokens")
    assert run.params == model.num_parameters()
    assert run.held_out_loss_nats == next(entry["eval_loss"] for entry in told if "eval_loss" in entry)
    assert run.loss_nats == [entry["loss"] for entry in told if "loss" in entry][-1]
    assert run.tokens_per_s > 0
