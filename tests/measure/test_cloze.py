"""The cloze task on a made-up text whose right answers are known."""

import numpy as np
import pytest

from steelyard.measure.cloze import CHOICES, cloze_accuracy, cloze_questions


class Text:
    """Sequences of numbers counting up from a different start each."""

    length = 64

    def __init__(self, size=50):
        self.size = size

    def __len__(self):
        return self.size

    def rows(self, numbers):
        return np.stack([np.arange(65) + 1000 * int(number) for number in numbers])


def counts_up(rows):
    """The likelihoods of a model that knows that the numbers count up."""
    return -np.abs(np.diff(rows, axis=1) - 1).astype(float)


def test_the_real_continuation_stands_first_and_is_of_the_same_text():
    rows, context = cloze_questions(Text())
    assert rows.shape == (50, CHOICES, context + 16)
    assert (np.diff(rows[:, 0], axis=1) == 1).all()
    assert (rows[:, :, :context] == rows[:, :1, :context]).all()
    for question in rows:
        assert len({int(answer[context]) for answer in question}) == CHOICES  # no answer twice


def test_a_model_that_knows_is_always_right_and_one_that_does_not_is_at_chance():
    assert cloze_accuracy(counts_up, Text()) == {"cloze": 1.0}
    noise = np.random.default_rng(0)
    found = cloze_accuracy(lambda rows: noise.normal(size=(len(rows), rows.shape[1] - 1)), Text(2000), questions=2000)
    assert found["cloze"] == pytest.approx(0.25, abs=0.03)  # three standard errors of 2,000 questions


def test_a_model_that_prefers_the_wrong_answer_is_never_right():
    assert cloze_accuracy(lambda rows: -counts_up(rows), Text()) == {"cloze": 0.0}


def test_a_text_too_short_for_four_answers_gives_no_task():
    assert cloze_accuracy(counts_up, Text(3)) == {}
