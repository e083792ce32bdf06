from __future__ import annotations

import json

from steelyard.compare.claim import Claim, Number
from steelyard.report import claims

CLAIM = Claim(
    id="x",
    text="inference | is <cheap>",
    verdict="holds if",
    condition="it is small",
    sentence="It costs " + "very " * 40 + "little.",
    numbers=(
        Number(label="price", value=1.2, unit="usd", basis="computed", low=0.9, high=1.6, source="s"),
        Number(label="count", value=3.0, unit="device", basis="published"),
    ),
    sources=("s", "t"),
)


def test_the_terminal_shows_verdict_condition_numbers_sources() -> None:
    shown = claims.render([CLAIM], width=80)
    for words in (
        'HOLDS IF: "inference | is <cheap>"', "  if: it is small", "- price: 1.2 USD (0.9 to 1.6) [computed]",
        "- count: 3 devices [published]", "sources: s, t", "Holds: true in at least 90%",
    ):  # fmt: skip
        assert words in shown
    assert max(map(len, shown.splitlines())) <= 80


def test_markdown_is_one_row_a_claim() -> None:
    rows = [line for line in claims.render([CLAIM], form="markdown").splitlines() if line.startswith("| ")]
    assert len(rows) == 3
    assert "\\<cheap\\>" in rows[2]
    assert rows[2].replace("\\|", "").count("|") == 6


def test_the_document_has_a_list_of_claims() -> None:
    found = json.loads(claims.render([CLAIM], form="json"))
    assert found["result"] == {"holds if": 1}
    assert found["claims"] == [CLAIM.to_dict()]
