"""vLLM, where it is installed: its own server, one process group a replica."""

from __future__ import annotations

import shutil
import sys
from importlib.util import find_spec
from pathlib import Path

from steelyard.runtime.serve.engines import is_model_folder
from steelyard.runtime.serve.spec import ReplicaSpec


def refuse(model: str) -> str:
    if find_spec("vllm") is None or _program() is None:
        return "vLLM is not installed"
    return "" if is_model_folder(model) else "not a folder with config.json"


def command(spec: ReplicaSpec) -> list[str]:
    asked = [str(_program()), "serve", spec.model, "--served-model-name", spec.name]
    asked += ["--host", "127.0.0.1", "--port", str(spec.port), "--max-num-seqs", str(spec.slots)]
    if spec.context_tokens:
        asked += ["--max-model-len", str(spec.context_tokens)]
    for name, value in spec.options.items():
        asked += [f"--{name}", value] if value else [f"--{name}"]
    return asked


def _program() -> str | None:
    beside = Path(sys.executable).with_name("vllm")
    return str(beside) if beside.exists() else shutil.which("vllm")
