"""Steps of many deployments in one table are the steps of each."""

import dataclasses
from types import SimpleNamespace

import numpy as np
import pytest

from steelyard import arch, device
from steelyard.inference import Deployment, engine_for, step
from steelyard.inference.engine import served
from steelyard.inference.table import step_table
from steelyard.inference.work import step_work

CASES = (
    ("llama-3.1-8b", "h100", Deployment()),
    ("llama-3.1-70b", "b200", Deployment(tp=4, weight_dtype="fp8", compute_dtype="fp8", kv_dtype="fp8")),
    ("mixtral-8x7b", "a100", Deployment(tp=2, pp=2)),
    ("deepseek-r1", "h200", Deployment(dp=8, ep=8, weight_dtype="fp8", compute_dtype="fp8")),
    ("qwen3-30b-a3b", "h100", Deployment(tp=2, dp=2, ep=4)),
)


@pytest.fixture(scope="module")
def steps():
    batch = np.array([1.0, 16.0, 200.0])
    return {"decode_sequences": batch, "context_tokens": 900.0, "prefill_tokens": np.array([0.0, 300.0, 4000.0])}


def test_a_table_gives_the_times_of_its_steps(steps):
    loaded = [(arch.load(model), device.load(card), layout) for model, card, layout in CASES]
    engine = engine_for(loaded[0][1])
    works = [
        (step_work(model, layout, routing_spread_ratio=engine.routing_spread_ratio, **steps), card, 3)
        for model, card, layout in loaded
    ]
    table = step_table(works)
    efficiencies = [served(card).efficiency for _, card, _ in loaded]
    reached = type(efficiencies[0])(
        **{
            field.name: np.repeat([getattr(one, field.name) for one in efficiencies], 3)
            for field in dataclasses.fields(efficiencies[0])
        }
    )
    together = table.time(reached, engine)
    alone = [step(model, card, layout, engine=engine, **steps) for model, card, layout in loaded]
    assert together.total_s == pytest.approx(np.concatenate([np.broadcast_to(one.total_s, 3) for one in alone]))
    assert together.flop == pytest.approx(np.concatenate([np.broadcast_to(one.flop, 3) for one in alone]))


def test_ways_may_be_arrays(steps):
    model, card = arch.load("mixtral-8x7b"), device.load("h100")
    many = SimpleNamespace(
        tp=np.array([1.0, 2.0, 8.0]), pp=1.0, dp=1.0, ep=np.array([1.0, 2.0, 8.0]),
        weight_dtype="bf16", kv_dtype="bf16", compute_dtype="bf16",
    )  # fmt: skip
    engine = engine_for(card)
    spread = engine.routing_spread_ratio
    table = step_table([(step_work(model, many, routing_spread_ratio=spread, **steps), card, 3)])
    times = table.time(served(card).efficiency, engine).total_s
    for index, ways in enumerate((1, 2, 8)):
        one = {name: np.broadcast_to(value, 3)[index] for name, value in steps.items()}
        alone = step(model, card, Deployment(tp=ways, ep=ways), engine=engine, **one)
        assert times[index] == pytest.approx(float(alone.total_s))
