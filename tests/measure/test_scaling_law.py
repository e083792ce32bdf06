"""A law is found again from losses that follow it; a ladder really trains."""

import numpy as np
import pytest

from steelyard.errors import InputError
from steelyard.measure.scaling_law import LossPoint, fit_scaling_law, ladder

TRUE = {"E": 1.5, "A": 60.0, "B": 200.0, "alpha": 0.35, "beta": 0.4}


def points(noise=0.0, seed=0):
    random = np.random.default_rng(seed)
    found = []
    for params in (1e5, 3e5, 1e6, 3e6, 1e7):
        for tokens in (1e6, 4e6, 1.6e7, 6.4e7):
            loss = TRUE["E"] + TRUE["A"] * params ** -TRUE["alpha"] + TRUE["B"] * tokens ** -TRUE["beta"]
            loss *= np.exp(noise * random.normal())
            found.append(LossPoint(params=params, tokens=tokens, loss_nats=float(loss)))
    return found


def test_losses_without_noise_give_the_law_back():
    law = fit_scaling_law(points(), draws=2)
    for name, value in TRUE.items():
        assert law.best[name] == pytest.approx(value, rel=0.02), name
    assert law.residual_ratio < 1e-4


def test_the_range_at_a_larger_model_holds_the_true_loss():
    true = TRUE["E"] + TRUE["A"] * 1e8 ** -TRUE["alpha"] + TRUE["B"] * 1e9 ** -TRUE["beta"]
    held = 0
    for seed in range(3):
        law = fit_scaling_law(points(noise=0.003, seed=seed), draws=20)
        found = law.loss_nats(1e8, 1e9)
        assert found.p10 < found.p50 < found.p90
        held += found.p10 <= true <= found.p90
    assert held >= 2  # of an 80% range


def test_too_few_points_fix_no_law(tmp_path):
    with pytest.raises(InputError, match="6 losses do not fix a law of 5 constants; give at least 7"):
        fit_scaling_law(points()[:6])
    with pytest.raises(InputError, match="2 sizes and 2 numbers"):
        fit_scaling_law([point for point in points() if point.params == 1e5] * 3)


@pytest.mark.slow
def test_a_ladder_is_trained_once(tmp_path):
    pytest.importorskip("torch")
    pytest.importorskip("transformers")
    from steelyard.runtime.train import load_job

    text = tmp_path / "text.txt"
    text.write_text("".join(f"{number} times {number} is {number * number}.\n" for number in range(4000)))
    stated = {
        "out": str(tmp_path / "ladder"), "data": str(text), "tokenizer": 300, "sequence": 16, "batch": 4, "threads": 1,
        "micro_batch": 4, "warmup": 1, "device": "cpu", "held_out": 0.05,
    }  # fmt: skip
    runs = []
    arguments = (load_job(None, stated), ["30k", "40k", "50k", "60k"], [128, 256])
    found = list(ladder(*arguments, on_run=runs.append))
    assert len(found) == len(runs) == 8
    assert {point.tokens for point in found} == {128, 256}
    assert len({point.params for point in found}) == 4
    events = []
    assert list(ladder(*arguments, on_event=events.append)) == found
    assert events == []  # nothing was trained again
    with pytest.raises(InputError, match="at least 7 runs"):
        list(ladder(*arguments[:2], [128]))
