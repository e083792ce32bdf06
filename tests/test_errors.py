"""One-line texts for unknown names."""

from steelyard.errors import nearest, unknown


def test_the_nearest_names_come_first():
    assert nearest("h100-smx", ["h100-sxm", "a100-sxm", "mi300x"])[0] == "h100-sxm"


def test_few_known_names_are_listed_when_none_is_near():
    assert unknown("route", "zzz", ["api", "serve"]) == "unknown route 'zzz' (known: api, serve)"


def test_a_whole_file_as_a_name_stays_one_short_line():
    text = unknown("model", "x" * 100_000, [f"model-{i}" for i in range(500)])
    assert len(text) < 200
    assert "\n" not in text
