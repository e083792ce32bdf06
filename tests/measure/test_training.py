"""What is read off a run's events; expected values by hand."""

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steelyard.errors import InputError
from steelyard.measure.training import measure_training
from steelyard.records.training import (
    Ended,
    Evaluated,
    Saved,
    Started,
    Stepped,
    event_line,
    kept,
    paid_device_s,
    paid_s,
    read_events,
)


def at(step, elapsed_s, unix_s):
    return {"step": step, "tokens": step * 100, "elapsed_s": elapsed_s, "unix_s": unix_s}


START = {
    "params": 1000, "devices": 2, "device": "cpu", "dtype": "fp32", "sequence_tokens": 10, "batch_tokens": 100,
    "flop_per_token": 6000.0, "bytes_per_token": 4.0,
}  # fmt: skip


def step(number, elapsed_s, unix_s, loss=5.0, step_s=2.0):
    return Stepped(**at(number, elapsed_s, unix_s), loss_nats=loss, step_s=step_s, peak_memory_bytes=1e6 * number)


# Step 3 is lost: killed at 1006 s, resumed at 1020 s from the checkpoint of step 2.
RUN = [
    Started(**at(0, 0.0, 1000.0), **START),
    step(1, 2.0, 1002.0, step_s=9.0),
    step(2, 4.0, 1004.0),
    Evaluated(**at(2, 4.0, 1004.0), held_out_loss_nats=5.0),
    Saved(**at(2, 4.0, 1004.0), save_s=0.1),
    step(3, 6.0, 1006.0, loss=99.0),
    Started(**at(2, 4.0, 1020.0), **START),
    step(3, 6.0, 1022.0),
    step(4, 8.0, 1024.0, loss=4.0),
    Evaluated(**at(4, 8.0, 1024.0), held_out_loss_nats=4.0, trained_loss_nats=3.75),
    Ended(**at(4, 8.0, 1024.0), reason="tokens", accuracy_ratio={"cloze": 0.5}),
]


def test_what_a_run_is_judged_by():
    run = measure_training(RUN, peak_flop_per_s=1.5e6, target_loss_nats=4.25)
    assert (run.step, run.tokens, run.reason, run.loss_nats) == (4, 400, "tokens", 4.0)
    assert run.tokens_per_s == 50.0  # 100 tokens in 2 s; the slow first step is left out
    assert run.mfu_ratio == pytest.approx(0.1)  # 50/s * 6000 / (2 * 1.5e6)
    assert (run.elapsed_s, run.paid_s) == (8.0, 10.0)  # 6 s before the kill, 4 s after
    assert run.training_goodput_ratio == pytest.approx(0.8)
    assert run.usage.device_s == 20.0
    assert run.perplexity == pytest.approx(math.exp(4))
    assert run.bits_per_byte == pytest.approx(4 / math.log(2) / 4)
    assert run.train_eval_gap_nats == pytest.approx(0.25)
    # three quarters of the way from 5.0 at step 2 to 4.0 at step 4
    assert run.tokens_to_target == pytest.approx(350.0)
    assert run.time_to_target_s == pytest.approx(7.0)
    assert run.peak_memory_bytes == 4e6
    assert run.accuracy_ratio == {"cloze": 0.5}


def test_what_was_lost_is_not_kept():
    assert [event.loss_nats for event in kept(RUN) if isinstance(event, Stepped)] == [5.0, 5.0, 5.0, 4.0]
    assert paid_s(RUN) == 10.0


def test_a_run_that_goes_on_with_fewer_devices_pays_for_those_it_has():
    halved = [replace(event, devices=1) if event is RUN[6] else event for event in RUN]
    assert paid_device_s(halved) == 16.0  # 6 s on two before the kill, 4 s on one after
    assert measure_training(halved).usage.device_s == 16.0
    assert measure_training(halved).paid_s == 10.0


def test_a_target_that_was_not_reached_says_so():
    assert measure_training(RUN, target_loss_nats=3.0).tokens_to_target is None


@given(
    losses=st.lists(st.floats(0.5, 10.0), min_size=2, max_size=8, unique=True).map(lambda all_: sorted(all_)[::-1]),
    share=st.floats(0.0, 1.0),
)
def test_a_target_is_reached_on_the_line_between_two_evaluations(losses, share):
    judged = [Evaluated(**at(n, 2.0 * n, 2.0 * n), held_out_loss_nats=loss) for n, loss in enumerate(losses, start=1)]
    before, after = losses[-2:]
    target = max(before + share * (after - before), after)
    found = measure_training([Started(**at(0, 0.0, 0.0), **START), *judged], target_loss_nats=target)
    place = len(losses) - 1 + (before - target) / (before - after)  # of the evaluations, counted from 1
    assert found.tokens_to_target == pytest.approx(100 * place)
    assert found.time_to_target_s == pytest.approx(2.0 * place)


def test_speeds_are_told_by_the_middle_and_the_tenths_of_steps():
    times_s = [50.0, *(float(number) for number in range(1, 12))]  # the first loads and allocates
    run = measure_training([RUN[0], *(step(n, 1.0, 1001.0, step_s=took_s) for n, took_s in enumerate(times_s, 1))])
    assert run.step_s == pytest.approx(6.0)  # of 1 to 11
    assert run.tokens_per_s == pytest.approx(100 / 6)
    # of 100/11 to 100/1, eleven speeds: the second from either end
    assert run.low_tokens_per_s == pytest.approx(10.0)
    assert run.high_tokens_per_s == pytest.approx(50.0)


def test_of_what_is_paid_the_share_that_was_kept_is_busy():
    assert measure_training(RUN).usage.busy_device_s == pytest.approx(16.0)  # 8 s of two devices; 20 s were paid


def test_a_run_without_events_of_some_kind_still_says_the_rest():
    run = measure_training(RUN[:1])
    assert (run.tokens_per_s, run.held_out_loss_nats, run.perplexity, run.mfu_ratio) == (None,) * 4
    with pytest.raises(InputError, match="tell of no start"):
        measure_training(RUN[1:3])


def test_events_come_back_from_their_lines():
    lines = [event_line(event) for event in RUN]
    assert list(read_events(lines)) == RUN
    assert list(read_events([*lines, '{"event": "st'])) == RUN  # a killed process
    with pytest.raises(ValueError, match="line 2 is not an event"):
        list(read_events([lines[0], "nonsense\n", lines[1]]))
