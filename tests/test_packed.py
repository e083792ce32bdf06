"""A wheel holds the package of the checkout, file by file: what is proved of the one holds for the other."""

import hashlib
from pathlib import Path

import pytest

import steelyard

INSTALLED = Path(steelyard.__file__).parent
CHECKOUT = Path(__file__).parents[1] / "src" / "steelyard"


def contents(folder):
    paths = (path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    return {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}


@pytest.mark.skipif(INSTALLED == CHECKOUT, reason="the checkout itself is installed")
def test_what_is_installed_is_what_the_checkout_holds():
    assert contents(INSTALLED) == contents(CHECKOUT)
