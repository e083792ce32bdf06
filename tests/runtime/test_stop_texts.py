"""Stop texts end a streamed answer where they end a whole one."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

pytest.importorskip("starlette", reason="serving needs the extra [run]")

from steelyard.runtime.serve.local import Unstopped

LETTERS = st.text("ab", max_size=6)


def _shown(pieces: list[str], stops: tuple[str, ...]) -> tuple[str, bool]:
    text, shown = Unstopped(stops), ""
    for piece in pieces:
        shown += text.add(piece)
        if text.stopped:
            return shown, True
    return shown + text.rest(), False


@given(pieces=st.lists(LETTERS), stop=st.text("ab", min_size=1, max_size=4))
@example(pieces=["a", "ab"], stop="ab")  # what may begin a stop text begins it one letter later
def test_a_text_is_shown_up_to_the_stop_however_it_is_cut(pieces: list[str], stop: str) -> None:
    before, found, _ = "".join(pieces).partition(stop)
    assert _shown(pieces, (stop,)) == (before, bool(found))


@given(pieces=st.lists(LETTERS), stops=st.lists(st.text("ab", min_size=1, max_size=4), max_size=3))
def test_of_several_none_is_shown(pieces: list[str], stops: list[str]) -> None:
    shown, stopped = _shown(pieces, tuple(stops))
    assert "".join(pieces).startswith(shown)
    assert not any(stop in shown for stop in stops)
    assert stopped == any(stop in "".join(pieces) for stop in stops)
