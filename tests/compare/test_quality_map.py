"""A predicted loss becomes a score only on the user's own map, within its points, with the range of its errors."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from steelyard import training
from steelyard.compare.case import build_case
from steelyard.compare.quality import score_of
from steelyard.compare.quality_map import LossMap, load_loss_map
from steelyard.compare.routes.pretrain import job_of
from steelyard.compare.routes.training_leg import train
from steelyard.compare.scenario_file import scenario_from
from steelyard.errors import InputError, UnknownError

from .conftest import example

LADDER = "params,tokens,score\n4e8,4e10,31\n1e9,1e11,38\n3e9,1e12,52\n7e9,2e12,60\n13e9,4e12,66\n70e9,15e12,79\n"


def on_map(tmp_path, text=LADDER, floor=50, **changes):
    (tmp_path / "ladder.csv").write_text(text)
    quality = {"scale": "our exam", "floor": floor, "loss_map": {"points": "ladder.csv"}}
    return scenario_from(example(quality=quality, **changes), base_dir=tmp_path)


def test_points_are_met_and_between_them_the_score_lies_between():
    losses = np.array([2.0, 2.1, 2.3, 2.6, 3.0])
    known = LossMap(law="besiroglu2024", losses=losses, scores=np.array([80.0, 70.0, 55.0, 40.0, 30.0]), name="x")
    assert known.score(2.3).p50 == pytest.approx(55)
    assert 40 < known.score(2.4).p50 < 55
    assert known.score(2.4).p10 <= known.score(2.4).p50 <= known.score(2.4).p90


@given(st.lists(st.floats(0, 100), min_size=5, max_size=12), st.floats(0, 1), st.floats(0, 1))
@settings(deadline=None, max_examples=50)
def test_a_lower_loss_never_scores_less(scores, one, other):
    losses = np.linspace(2.0, 3.0, len(scores))
    known = LossMap(law="besiroglu2024", losses=losses, scores=np.array(scores), name="x")
    low, high = sorted((2.0 + one, 2.0 + other))
    assert known.score(low).p50 >= known.score(high).p50 - 1e-9


def test_scattered_points_widen_the_range():
    losses = np.linspace(2.0, 3.0, 7)
    smooth, rough = np.linspace(80, 20, 7), np.linspace(80, 20, 7) + np.array([0, 8, -8, 8, -8, 8, 0])
    width = [
        (found := LossMap(law="besiroglu2024", losses=losses, scores=scores, name="x").score(2.5)).p90 - found.p10
        for scores in (smooth, rough)
    ]
    assert width[0] == pytest.approx(0, abs=1e-6)
    assert width[1] > 8


def test_size_and_tokens_are_as_good_as_their_loss(tmp_path):
    rows = [line.split(",") for line in LADDER.splitlines()[1:]]
    losses = [float(training.loss_nats_per_token(float(params), float(tokens))) for params, tokens, _ in rows]
    (tmp_path / "a.csv").write_text(LADDER)
    (tmp_path / "b.csv").write_text(
        "loss,score\n" + "".join(f"{loss!r},{row[2]}\n" for loss, row in zip(losses, rows, strict=True))
    )
    first, second = (load_loss_map(tmp_path / name, "besiroglu2024") for name in ("a.csv", "b.csv"))
    assert first.losses == pytest.approx(second.losses)


def test_the_pretrained_model_is_scored_by_the_map_and_no_other_option(tmp_path):
    scenario = on_map(tmp_path)  # qwen3-8b on 2T tokens: between 7B on 2T and 13B on 4T, just above the first
    found = score_of(scenario, ("pretrain",))
    assert 60 <= found.value.p50 <= 62
    assert found.passes
    assert found.evidence == "predicted"
    assert score_of(scenario, ("finetune",)).value is None


def test_a_mixture_of_experts_counts_by_the_parameters_that_a_token_uses(tmp_path):
    scenario = on_map(tmp_path, routes__pretrain__model="mixtral-8x7b", routes__pretrain__tokens="2 Ttoken")
    case = build_case(scenario)
    run = train(case, job_of(scenario.routes.pretrain))  # the loss that the comparison prints
    assert f"loss {run.loss_nats.item():.3f} nat/token" in score_of(scenario, ("pretrain",)).note
    assert score_of(scenario, ("pretrain",)).value.p50 < 70  # 13B of 47B: on the way to the 13B row, not beyond it


def test_outside_the_points_it_stays_unknown_and_cannot_pass(tmp_path):
    found = score_of(
        on_map(tmp_path, routes__pretrain__tokens="900 Ttoken", routes__pretrain__model="llama-3.1-70b"), ("pretrain",)
    )
    assert found.value is None
    assert not found.passes
    assert "outside the map" in found.note


def test_a_stated_score_comes_before_the_map(tmp_path):
    (tmp_path / "ladder.csv").write_text(LADDER)
    quality = {"scale": "our exam", "scores": {"pretrain": 12}, "loss_map": {"points": "ladder.csv"}}
    scenario = scenario_from(example(quality=quality), base_dir=tmp_path)
    assert score_of(scenario, ("pretrain",)).value.p50 == 12


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("params,tokens,score\n1e9,1e11,3\n", "1 points; allowed: 5"),
        (LADDER.replace("score", "points"), "no column 'score'"),
        (LADDER.replace("tokens", "words"), "no column 'tokens'"),
        (LADDER.replace("52", "many"), "line 4: score is 'many'"),
        ("loss,score\n" + "2.0,50\n" * 6, "1 different losses"),
    ],
)
def test_a_broken_file_is_one_line(tmp_path, text, said):
    with pytest.raises(InputError, match=said) as caught:
        on_map(tmp_path, text)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_not_there_and_a_law_that_is_not_known(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        scenario_from(example(quality={"scale": "x", "loss_map": {"points": "none.csv"}}), base_dir=tmp_path)
    (tmp_path / "ladder.csv").write_text(LADDER)
    with pytest.raises(UnknownError, match="besiroglu2024"):
        load_loss_map(tmp_path / "ladder.csv", "besiroglu2023")
