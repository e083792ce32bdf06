"""The README shows what the commands really print."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"

pytestmark = pytest.mark.skipif(not README.exists(), reason="the README is not beside the tests")


def test_the_first_screen_has_the_two_commands_and_the_output():
    lines = README.read_text(encoding="utf-8").splitlines()[:40]
    text = "\n".join(lines)
    assert "make compare" in text
    assert "make test" in text
    assert "THE ANSWER" in text


def test_the_output_in_the_readme_is_the_output():
    shown = re.search(r"```text\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)[1]
    env = {**os.environ, "COLUMNS": "120", "NO_COLOR": "1"}
    env.pop("STEELYARD_DATA", None)
    real = subprocess.run(
        [sys.executable, "-m", "steelyard", "compare"], capture_output=True, text=True, env=env, check=True, timeout=120
    )
    assert shown == real.stdout
