"""Plain Hugging Face Transformers, one request at a time: the last resort, for any folder that it can load."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator, Mapping
from importlib.util import find_spec
from typing import Any

from steelyard.errors import InputError
from steelyard.runtime.serve.engines import is_model_folder
from steelyard.runtime.serve.local import replica_app, serve_app
from steelyard.runtime.serve.openai import Asked
from steelyard.runtime.serve.spec import Reads, ReplicaSpec, from_command_line, module_command

OPTIONS: Mapping[str, Reads] = {}

_COLD = 1e-3  # a temperature; below it logits over it grow until they are no numbers


def refuse(model: str) -> str:
    missing = [name for name in ("torch", "transformers") if find_spec(name) is None]
    if missing:
        return f"{' and '.join(missing)} not installed (pip install 'steelyard[run]')"
    return "" if is_model_folder(model) else "not a folder with config.json"


def command(spec: ReplicaSpec) -> list[str]:
    return module_command("steelyard.runtime.serve.engines.transformers", spec)


class TransformersEngine:
    """A model in this process; requests wait for each other."""

    def __init__(self, spec: ReplicaSpec) -> None:
        import torch
        from transformers import AutoModelForCausalLM, AutoTokenizer

        torch.set_num_threads(spec.threads)
        self.torch = torch
        self.device = "cuda" if torch.cuda.is_available() else "cpu"
        self.tokenizer: Any = AutoTokenizer.from_pretrained(spec.model)
        loaded: Any = AutoModelForCausalLM.from_pretrained(spec.model, dtype="auto")
        self.weights = loaded.to(self.device).eval()
        self.model = spec.name
        stated = getattr(self.weights.config, "max_position_embeddings", 0)
        self.context_tokens = spec.context_tokens or stated or 0
        self.ends = _ends(self.tokenizer.eos_token_id, getattr(self.weights.generation_config, "eos_token_id", None))
        self.turn = asyncio.Lock()

    def count_prompt(self, asked: Asked) -> int:
        return len(self._prompt(asked))

    def _prompt(self, asked: Asked) -> list[int]:
        if not asked.chat:
            return list(self.tokenizer(asked.prompt).input_ids)
        if not self.tokenizer.chat_template:
            raise InputError("this model has no chat template; use /v1/completions")
        messages = [dict(message) for message in asked.messages]
        text = self.tokenizer.apply_chat_template(messages, add_generation_prompt=True, tokenize=False)
        return list(self.tokenizer(text, add_special_tokens=False).input_ids)

    async def generate(self, asked: Asked) -> AsyncIterator[str]:
        async with self.turn:
            left = threading.Event()
            pieces = self._pieces(asked, left)
            try:
                while (piece := await asyncio.to_thread(next, pieces, None)) is not None:
                    yield piece
            finally:
                left.set()

    def _pieces(self, asked: Asked, left: threading.Event) -> Iterator[str]:
        """Yield the text of each token; a character that needs several tokens comes with its last."""
        ids: list[int] = []
        shown = ""
        for token in self._tokens(asked):
            ids.append(token)
            text = self.tokenizer.decode(ids, skip_special_tokens=True)
            if text.endswith("\ufffd"):
                yield ""
            else:
                yield text[len(shown) :]
                shown = text
            if left.is_set():
                return

    def _tokens(self, asked: Asked) -> Iterator[int]:
        torch = self.torch
        generator = torch.Generator(device=self.device)
        if asked.seed is not None:
            generator.manual_seed(asked.seed)
        else:
            generator.seed()
        ends = self.ends if not asked.ignore_eos else frozenset()
        given, cache = torch.tensor([self._prompt(asked)], device=self.device), None
        for _ in range(asked.max_tokens):
            with torch.inference_mode():
                out = self.weights(given, past_key_values=cache, use_cache=True, logits_to_keep=1)
            cache = out.past_key_values
            token = _choose(torch, out.logits[0, -1].float(), asked, generator)
            if token in ends:
                return
            yield token
            given = torch.tensor([[token]], device=self.device)


def _ends(*stated: int | list[int] | None) -> frozenset[int]:
    """Return the tokens that end an answer: the tokenizer's, and those of the model, of which chat models have several.

    Example:
        >>> sorted(_ends(1, [1, 106])), sorted(_ends(None, None))
        ([1, 106], [])
    """
    return frozenset(end for ends in stated if ends is not None for end in ([ends] if isinstance(ends, int) else ends))


def _choose(torch: Any, logits: Any, asked: Asked, generator: Any) -> int:
    """Return the next token: the likeliest at temperature 0, else drawn from the smallest set that holds `top_p`."""
    if asked.temperature < _COLD:
        return int(logits.argmax())
    shares, order = torch.softmax(logits / asked.temperature, dim=-1).sort(descending=True)
    kept = shares * ((shares.cumsum(0) - shares) < max(asked.top_p, 1e-6))
    return int(order[torch.multinomial(kept, 1, generator=generator)])


def main() -> None:
    spec = from_command_line()
    serve_app(replica_app(TransformersEngine(spec), spec.key), host=spec.host, port=spec.port)


if __name__ == "__main__":
    main()
