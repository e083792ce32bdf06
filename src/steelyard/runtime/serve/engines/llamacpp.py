"""llama.cpp with its own HTTP server, from the wheel `xllamacpp`: GGUF files, and folders that convert to one."""

from __future__ import annotations

import signal
import sys
from importlib.util import find_spec
from pathlib import Path

from steelyard.runtime.serve.convert import convertible, gguf_of
from steelyard.runtime.serve.engines import is_model_folder
from steelyard.runtime.serve.spec import ReplicaSpec, from_command_line, module_command, options_of

MODULE = "steelyard.runtime.serve.engines.llamacpp"
OPTIONS = dict.fromkeys(("cache_ram_mib", "n_batch", "n_cache_reuse", "n_gpu_layers", "n_ubatch"), int)


def refuse(model: str) -> str:
    if find_spec("xllamacpp") is None:
        return "xllamacpp is not installed (pip install 'steelyard[run]')"
    if is_model_folder(model):
        return convertible(model)
    return "" if _is_gguf(model) else "neither a GGUF file nor a folder with config.json"


def _is_gguf(model: str) -> bool:
    try:
        with Path(model).open("rb") as file:
            return file.read(4) == b"GGUF"
    except OSError:
        return False


def command(spec: ReplicaSpec) -> list[str]:
    return module_command(MODULE, spec)


def main() -> None:
    spec = from_command_line()
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = str(gguf_of(spec.model)) if is_model_folder(spec.model) else spec.model
    params.model_alias = {spec.name}
    params.hostnames = [spec.host]
    params.port = spec.port
    params.api_keys = [spec.key] if spec.key else []
    params.n_parallel = spec.slots
    params.n_ctx = spec.context_tokens * spec.slots  # the cache is shared out among the slots; 0: the model's own
    params.n_threads_http = spec.slots + 8  # each streamed answer holds one
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = spec.threads
    params.n_predict = -1
    params.verbosity = 0
    params.cache_ram_mib = 0  # its 8 GiB of prompts beyond the slots would be memory that nobody has planned
    for name, value in options_of(spec, OPTIONS).items():
        setattr(params, name, value)
    server = xllamacpp.Server(params)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    print(f"listening on {server.listening_address}", file=sys.stderr, flush=True)
    signal.pause()


if __name__ == "__main__":
    main()
