"""Collectives over the processes of this machine, by PyTorch's gloo."""

from __future__ import annotations

import dataclasses
import json
import sys
from datetime import timedelta
from functools import partial
from typing import Any

from steelyard.measure.machine.timing import Reading, timed_calls

_SIZES_BYTES = (4 * 2**10, 2**20, 32 * 2**20)


def all_reduce(rank: int, ranks: int, port: int) -> dict[str, Reading]:
    """Return the time of an all-reduce by message size [s]; every rank calls it."""
    import torch

    distributed: Any = torch.distributed

    torch.set_num_threads(1)
    store = distributed.TCPStore("127.0.0.1", port, ranks, is_master=rank == 0, timeout=timedelta(seconds=60))
    distributed.init_process_group("gloo", store=store, rank=rank, world_size=ranks, timeout=timedelta(seconds=60))
    found = {}
    for size in _SIZES_BYTES:
        tensor = torch.ones(size // 4)
        calls = 200 if size < 2**20 else 20  # the same on every rank
        found[str(size)] = timed_calls(partial(distributed.all_reduce, tensor), calls)
    distributed.destroy_process_group()
    return found


def main() -> None:
    rank, ranks, port = (int(text) for text in sys.argv[1:4])
    found = all_reduce(rank, ranks, port)
    if rank == 0:
        print(json.dumps(found, default=dataclasses.asdict), flush=True)


if __name__ == "__main__":
    main()
