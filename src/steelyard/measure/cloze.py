"""A downstream task from the user's own held-out text: which of four continuations is the real one?"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from steelyard.runtime.train.shards import Sequences

CHOICES = 4
_CONTEXT_TOKENS, _CONTINUATION_TOKENS = 48, 16
_QUESTIONS = 200
_ROWS_AT_ONCE = 64


def cloze_questions(
    held_out: Sequences, *, questions: int = _QUESTIONS, seed: int = 0
) -> tuple[npt.NDArray[np.int64], int]:
    """Return multiple-choice questions, and how many tokens of each row are the question.

    Each question is a stretch of held-out text with its real continuation first, then three continuations of other
    stretches, equally long.

    Args:
        held_out: Sequences to take the text from; at most one question each.
        questions: How many to ask at most.
        seed: Chooses stretches and wrong answers.

    Returns:
        Tokens [questions, 4, context + continuation] and the length of the context; no question where the text has
        fewer than four sequences.
    """
    asked = np.random.default_rng(seed).permutation(len(held_out))[:questions]
    continuation = min(_CONTINUATION_TOKENS, max(1, held_out.length // 4))
    context = min(_CONTEXT_TOKENS, held_out.length + 1 - continuation)
    if len(asked) < CHOICES:
        return np.empty((0, CHOICES, context + continuation), dtype=np.int64), context
    rows = held_out.rows(asked)[:, : context + continuation]
    pick = np.random.default_rng([seed, 1])
    result = np.repeat(rows[:, None, :], CHOICES, axis=1)
    for number in range(len(rows)):
        others = pick.choice(len(rows) - 1, size=CHOICES - 1, replace=False)
        others += others >= number  # never the question itself
        result[number, 1:, context:] = rows[others, context:]
    return result, context


def cloze_accuracy(
    log_likelihoods: Callable[[npt.NDArray[np.int64]], npt.NDArray[np.float64]],
    held_out: Sequences,
    *,
    questions: int = _QUESTIONS,
    seed: int = 0,
) -> dict[str, float]:
    """Return the share of questions whose real continuation is the likeliest of four; chance is 25%.

    A wrong answer equal to the real one gets half the point of a tie.

    Args:
        log_likelihoods: Rows of tokens [rows, length] to the log-likelihood of each token after the first.
        held_out: Text the model was not trained on.
        questions: How many to ask at most.
        seed: Chooses them.

    Returns:
        `{"cloze": share}`, empty where the text is too short for a question.
    """
    rows, context = cloze_questions(held_out, questions=questions, seed=seed)
    if not len(rows):
        return {}
    flat = rows.reshape(-1, rows.shape[-1])
    parts = [log_likelihoods(flat[start : start + _ROWS_AT_ONCE]) for start in range(0, len(flat), _ROWS_AT_ONCE)]
    scores = np.concatenate(parts)[:, context - 1 :].sum(axis=1).reshape(rows.shape[:2])
    wrong = scores[:, 1:].max(axis=1)
    return {"cloze": float(np.mean((scores[:, 0] > wrong) + 0.5 * (scores[:, 0] == wrong)))}
