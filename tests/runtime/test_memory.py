"""Memory that a process frees is its own again."""

import platform
import subprocess
import sys

import pytest

_COUNT = """
import ctypes, resource, sys
if sys.argv[1:]:
    from steelyard.runtime.memory import keep_memory
    keep_memory()
library, size = ctypes.CDLL(None), ctypes.c_size_t(2**26)
library.malloc.restype = ctypes.c_void_p
for _ in range(2):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    block = ctypes.c_void_p(library.malloc(size))
    library.memset(block, 1, size)
    library.free(block)
    print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def pages_mapped(*arguments):
    """Return how many pages the system mapped for a large block, taken, filled and freed; then for it again."""
    done = subprocess.run([sys.executable, "-c", _COUNT, *arguments], check=True, capture_output=True, text=True)
    return [int(line) for line in done.stdout.split()]


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries keep to themselves what they do")
def test_large_blocks_are_mapped_once():
    first, again = pages_mapped("kept")
    assert again < 0.1 * first
    first, again = pages_mapped()
    assert again > 0.5 * first  # what happens otherwise
