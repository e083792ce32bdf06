"""The pieces of work that are timed: in PyTorch where it is installed, in NumPy otherwise."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import numpy as np

Work = Callable[[], object]


class NumpyKernels:
    """Work of NumPy: fp32 only, no attention kernel."""

    library = f"NumPy {np.__version__}"
    device = "cpu"
    dtypes = ("fp32",)
    threads = 0  # as its library chooses: nothing is known of them

    def synchronise(self) -> None:
        """Nothing to wait for."""

    def matmul(self, dtype: str, m: int, n: int, k: int) -> Work:  # noqa: ARG002 - fp32 is the only one
        rng = np.random.default_rng(0)
        left, right = rng.random((m, k), dtype=np.float32), rng.random((k, n), dtype=np.float32)
        out = np.empty((m, n), dtype=np.float32)
        return lambda: np.matmul(left, right, out=out)

    def read(self, size_bytes: int) -> Work:
        """Read a matrix once: a matrix times a vector."""
        columns = 1024
        matrix = np.ones((max(size_bytes // 4 // columns, 1), columns), dtype=np.float32)
        vector, out = np.ones(columns, dtype=np.float32), np.empty(len(matrix), dtype=np.float32)
        return lambda: np.dot(matrix, vector, out=out)

    def copy(self, size_bytes: int) -> Work:
        source = np.ones(size_bytes // 4, dtype=np.float32)
        target = np.empty_like(source)
        return lambda: np.copyto(target, source)

    def tiny(self) -> Work:
        one, nothing = np.ones(1, dtype=np.float32), np.zeros(1, dtype=np.float32)
        return lambda: np.add(one, nothing, out=one)

    def attention(self, heads: int, queries: int, keys: int, head: int) -> Work | None:  # noqa: ARG002
        return None


class TorchKernels:
    """Work of PyTorch, on the first GPU where there is one."""

    def __init__(self, threads: int) -> None:
        import torch

        torch.set_num_threads(threads)
        torch.set_grad_enabled(mode=False)
        self.torch = torch
        self.library = f"PyTorch {torch.__version__}"
        self.device = "cuda" if torch.cuda.is_available() else "cpu"
        self.threads = threads if self.device == "cpu" else 0
        self.kinds = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
        self.dtypes = tuple(self.kinds)

    def synchronise(self) -> None:
        if self.device == "cuda":
            self.torch.cuda.synchronize()

    def _random(self, dtype: str, *shape: int) -> Any:
        return self.torch.rand(*shape, device=self.device).to(self.kinds[dtype])

    def matmul(self, dtype: str, m: int, n: int, k: int) -> Work:
        left, right = self._random(dtype, m, k), self._random(dtype, n, k)  # weights lie as models keep them: [n, k]
        return lambda: self.torch.nn.functional.linear(left, right)

    def read(self, size_bytes: int) -> Work:
        """Read a matrix once: a matrix times a vector, the work of decoding."""
        columns = 1024
        matrix = self.torch.ones(max(size_bytes // 4 // columns, 1), columns, device=self.device)
        vector = self.torch.ones(columns, device=self.device)
        return lambda: self.torch.mv(matrix, vector)

    def copy(self, size_bytes: int) -> Work:
        source = self.torch.ones(size_bytes // 4, device=self.device)
        target = self.torch.empty_like(source)
        return lambda: target.copy_(source)

    def tiny(self) -> Work:
        one = self.torch.ones(1, device=self.device)
        return lambda: one.add_(1.0)

    def attention(self, heads: int, queries: int, keys: int, head: int) -> Work | None:
        query = self._random("fp32", 1, heads, queries, head)
        key, value = self._random("fp32", 1, heads, keys, head), self._random("fp32", 1, heads, keys, head)
        return lambda: self.torch.nn.functional.scaled_dot_product_attention(query, key, value)


def kernels(threads: int) -> NumpyKernels | TorchKernels:
    """Return the kernels of the best library that is installed.

    `threads` holds for PyTorch on a CPU; NumPy takes its threads from the environment, when it is first imported.
    """
    return TorchKernels(threads) if find_spec("torch") else NumpyKernels()
