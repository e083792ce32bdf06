"""Training speed: `steelyard train`, a bare PyTorch loop and the Hugging Face Trainer, in one process and one run.

    GOMP_SPINCOUNT=3000 OMP_NUM_THREADS=2 .venv/bin/python benchmarks/training.py [PARAMS] [ROUNDS]

The same model, text, batch, optimizer and gradient clipping for all three. They take turns; each line is the median
over the rounds of the processor time between the first step and the last, whatever was done in it: other load on the
machine counts little then.
"""

from __future__ import annotations

import shutil
import statistics
import sys
import tempfile
import time
import warnings
from pathlib import Path

import torch
import torch.nn.functional as F
import transformers

from steelyard.records.training import Started, Stepped
from steelyard.runtime.train import TrainJob, Watch, load_job, prepare, read_log, train
from steelyard.runtime.train.model import build
from steelyard.runtime.train.prepare import run_tokenizer
from steelyard.runtime.train.run import optimizer
from steelyard.runtime.train.shards import TRAIN, Order, Sequences

STEPS, SEQUENCE, BATCH, MICRO_BATCH = 8, 256, 16, 8


def ours(job: TrainJob) -> float:
    """Return processor seconds a step of `steelyard train`."""
    done: list[float] = []
    train(job, Watch(on_event=lambda event: done.append(time.process_time()) if isinstance(event, Stepped) else None))
    return (done[-1] - done[0]) / (len(done) - 1)


def bare(job: TrainJob) -> float:
    """Return processor seconds a step of a plain loop."""
    model = build(job, run_tokenizer(job))
    adamw = optimizer(model, 1e-3, job.weight_decay)
    text = Sequences(job.out / "tokens", TRAIN, SEQUENCE)
    order = Order(len(text), 0)
    begun = 0.0
    for step in range(STEPS):
        rows = torch.from_numpy(text.rows(order[step * BATCH + number] for number in range(BATCH)))
        for part in rows.split(MICRO_BATCH):
            logits = model(input_ids=part[:, :-1], use_cache=False).logits
            loss = F.cross_entropy(logits.flatten(0, 1), part[:, 1:].flatten(), reduction="sum")
            (loss / (BATCH * SEQUENCE)).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), job.gradient_clip)
        adamw.step()
        adamw.zero_grad(set_to_none=True)
        begun = begun or time.process_time()
    return (time.process_time() - begun) / (STEPS - 1)


class Clock(transformers.TrainerCallback):
    """Notes when steps end."""

    def __init__(self) -> None:
        self.ends: list[float] = []

    def on_step_end(self, *_: object, **__: object) -> None:
        self.ends.append(time.process_time())


def hugging_face(job: TrainJob) -> float:
    """Return processor seconds a step of the Trainer."""
    model = build(job, run_tokenizer(job))
    text = Sequences(job.out / "tokens", TRAIN, SEQUENCE)
    rows = [{"input_ids": row, "labels": row} for row in (text[number][:-1] for number in range(STEPS * BATCH))]
    arguments = transformers.TrainingArguments(
        output_dir=str(job.out / "trainer"), max_steps=STEPS, per_device_train_batch_size=MICRO_BATCH,
        gradient_accumulation_steps=BATCH // MICRO_BATCH, learning_rate=1e-3, weight_decay=job.weight_decay,
        adam_beta2=0.95, optim="adamw_torch_fused", use_cpu=True, report_to=[], disable_tqdm=True,
        save_strategy="no", logging_steps=1,
    )  # fmt: skip
    clock = Clock()
    trainer = transformers.Trainer(model=model, args=arguments, train_dataset=rows, callbacks=[clock])
    trainer.remove_callback(transformers.PrinterCallback)
    trainer.train()
    return (clock.ends[-1] - clock.ends[0]) / (STEPS - 1)


def gemm_flop_per_s(size: int = 1024) -> float:
    """Return the best rate of a square fp32 GEMM."""
    a, b = torch.randn(size, size), torch.randn(size, size)
    times = []
    for _ in range(10):
        begun = time.process_time()
        a @ b
        times.append(time.process_time() - begun)
    return 2 * size**3 / min(times) * torch.get_num_threads()


def main() -> None:
    params, rounds = [*sys.argv[1:], *["10M", "5"][len(sys.argv) - 1 :]]
    warnings.simplefilter("ignore")
    results: dict[str, list[float]] = {"steelyard train": [], "bare PyTorch loop": [], "Hugging Face Trainer": []}
    peaks = []
    with tempfile.TemporaryDirectory() as folder:
        stated = {
            "out": f"{folder}/run", "model": params, "sequence": SEQUENCE, "batch": BATCH, "micro_batch": MICRO_BATCH,
            "learning_rate": 1e-3, "device": "cpu", "data": str(Path(torch.__file__).parent / "nn"), "held_out": 0.2,
            "limits": {"tokens": STEPS * BATCH * SEQUENCE}, "evaluate": {"every": 10**6, "sequences": 1},
        }  # fmt: skip
        job = load_job(None, stated)
        prepare(job)
        for _ in range(int(rounds)):
            shutil.rmtree(job.out / "checkpoints", ignore_errors=True)
            (job.out / "events.jsonl").unlink(missing_ok=True)
            peaks.append(gemm_flop_per_s())
            for name, run in zip(results, (ours, bare, hugging_face), strict=True):
                results[name].append(run(job))
        start = next(event for event in read_log(job.out / "events.jsonl") if isinstance(event, Started))
    batch = f"{BATCH} x {SEQUENCE} tokens a step"
    print(f"{start.params:,} parameters, {batch}, {torch.get_num_threads()} threads, {rounds} rounds")
    reference, peak = statistics.median(results["bare PyTorch loop"]), max(peaks)
    for name, times in results.items():
        step_s = statistics.median(times)
        ratios = sorted(bare_s / own_s for bare_s, own_s in zip(results["bare PyTorch loop"], times, strict=True))
        rate = BATCH * SEQUENCE / step_s * torch.get_num_threads()
        share = rate * (start.flop_per_token or 0.0) / peak
        print(
            f"{name:22} {rate:9,.0f} tokens/s  {reference / step_s:6.1%} of the bare loop "
            f"(by round {ratios[0]:.1%} to {ratios[-1]:.1%})  {share:6.1%} of the GEMM peak"
        )
    print(f"fp32 GEMM peak {peak / 1e9:.1f} GFLOP/s")


if __name__ == "__main__":
    main()
