"""What workers of a cluster add to the log of events is told where the run was started; no Ray is needed for it."""

from steelyard.records.training import Ended, event_line
from steelyard.runtime.train import cluster

LAST = Ended(step=1, tokens=64, elapsed_s=1.0, unix_s=1.0, reason="tokens")


def test_the_last_events_are_told_however_late_they_come(tmp_path):
    log, heard = tmp_path / "events.jsonl", []
    with cluster._telling(log, heard.append):
        log.write_text(event_line(LAST) * 3)
    assert heard == [LAST] * 3


def test_what_was_there_before_is_not_told_again_and_half_a_line_not_yet(tmp_path):
    log, heard = tmp_path / "events.jsonl", []
    log.write_text(event_line(LAST))
    with cluster._telling(log, heard.append), log.open("a") as file:
        file.write(event_line(LAST) + event_line(LAST)[:20])
    assert heard == [LAST]
