"""Independent runs side by side: the answers and their order do not depend on how many run at once, or where."""

import os
import threading

import pytest
from joblib import parallel_config

from steelyard.errors import DoesNotFitError
from steelyard.records.sweep import swept


def backwards(number):
    """Take longer for what comes first."""
    threading.Event().wait(0.02 * (5 - number))
    return number, threading.get_ident()


@pytest.mark.parametrize("said", [{}, {"n_jobs": 2}, {"backend": "sequential"}])
def test_answers_come_in_the_order_of_the_questions(said):
    with parallel_config(**said):
        assert [number for number, _ in swept(backwards, range(5))] == list(range(5))


def test_processes_do_what_python_would_let_one_thread_do_at_a_time():
    with parallel_config(n_jobs=2):
        assert os.getpid() not in swept(lambda _: os.getpid(), range(3), processes=True)
        assert set(swept(lambda _: os.getpid(), range(3))) == {os.getpid()}
    with parallel_config(backend="sequential"):
        assert set(swept(lambda _: os.getpid(), range(3), processes=True)) == {os.getpid()}


def test_the_caller_chooses_how_many_run_at_once():
    with parallel_config(backend="sequential"):
        assert {thread for _, thread in swept(backwards, range(3))} == {threading.get_ident()}
    with parallel_config(n_jobs=2):
        assert threading.get_ident() not in {thread for _, thread in swept(backwards, range(3))}


def test_an_error_of_one_run_is_that_of_the_sweep():
    def refuse(number):
        raise DoesNotFitError(f"{number} does not fit")

    with pytest.raises(DoesNotFitError, match="does not fit"):
        swept(refuse, range(3))
