"""Main memory of a program that takes and gives back the same large blocks at every step."""

from __future__ import annotations

import ctypes
import os

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # M_... of malloc.h
_MOST = 2**31 - 1  # bytes; what such a parameter holds
_LARGEST_BLOCK = 2**30


def keep_memory() -> None:
    """Let this process keep the memory that it frees, in large pages; PyTorch is imported after it.

    On a CPU PyTorch asks the C library for every tensor. That returns large blocks to the system at once, so that each
    step would wait for its memory to be mapped and zeroed again, page by page. What a step takes at most is held either
    way. Without glibc nothing changes, and a user's own THP_MEM_ALLOC_ENABLE holds.

    Source: mallopt(3); PyTorch's c10/core/impl/alloc_cpu.cpp.
    """
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")  # transparent huge pages, where the kernel gives them if asked
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):  # another C library
        return
    mallopt(_MMAP_THRESHOLD, _LARGEST_BLOCK)
    mallopt(_TRIM_THRESHOLD, _MOST)
