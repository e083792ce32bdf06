"""What one replica of a serving plan runs, whatever starts it: weights, arguments of vLLM, devices."""

from __future__ import annotations

import math
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from steelyard import __version__, arch, catalog, device, inference
from steelyard.catalog import Row
from steelyard.compare.serving.plan_result import PlanOption, ServingPlan
from steelyard.errors import InputError, UnknownError
from steelyard.records.system import Accelerator
from steelyard.units import format_quantity

PORT = 8000
ENGINE = "vllm"
_CONTEXT_STEP = 1024  # tokens: the longest request is rounded up to a multiple


@dataclass(frozen=True, slots=True, kw_only=True)
class Replicas:
    """The cheapest option of a plan whose replicas do both prefill and decoding."""

    plan: ServingPlan
    option: PlanOption
    weights: str  # a Hugging Face repository or a folder
    arguments: dict[str, Any]  # of `vllm serve`, by the long name of the option; True is a flag
    accelerator: Accelerator

    @property
    def num_replicas(self) -> int:
        return self.option.units

    @property
    def num_devices(self) -> int:
        """Of one replica."""
        return self.option.candidate.num_devices

    @property
    def rate_per_s(self) -> float:
        """The demand planned for; as much as the replicas carry where none was stated."""
        asked = self.plan.question.request_rate_per_s
        return self.option.at.request_rate_per_s * self.num_replicas if asked is None else asked

    @property
    def devices_per_node(self) -> int:
        return int(self.accelerator.devices_per_node)

    @property
    def name(self) -> str:
        """A name that Kubernetes and Compose allow.

        Letters, digits and hyphens, beginning with a letter, at most 50.
        """
        bare = re.sub(r"[^a-z0-9]+", "-", self.weights.rsplit("/", 1)[-1].lower()).strip("-")
        return f"m-{bare}"[:50].rstrip("-") if not bare[:1].isalpha() else bare[:50].rstrip("-")

    def image(self) -> Row:
        """Return the row of the container image for the engine and the vendor of the device.

        Raises:
            UnknownError: There is none.
        """
        for row in catalog.table("engine_images").rows:
            if (row["engine"], row["vendor"]) == (ENGINE, self.accelerator.vendor):
                return row
        raise UnknownError(
            f"no container image of {ENGINE} for devices of {self.accelerator.vendor} is known; "
            "add a row to the table engine_images, or take --emit vllm"
        )

    def heading(self, *start: str) -> Iterator[str]:
        """Yield what a reader of the file must know: the plan, how to start, how to confirm it."""
        at, asked = self.option.at, self.plan.question
        load, limits = f"load {asked.load}", asked.objective
        if asked.isl_tokens is not None and asked.osl_tokens is not None:
            load = f"{asked.isl_tokens:.0f} tokens in and {asked.osl_tokens:.0f} out"
        count = "1 replica" if self.num_replicas == 1 else f"{self.num_replicas} replicas"
        yield f"{self.weights} on {self.option.candidate.name}: {count} of {self.num_devices} devices."
        yield (
            f"Planned by steelyard {__version__} for {self.rate_per_s:.3g} requests/s of {load}. A replica keeps the "
            f"objective up to {at.request_rate_per_s:.3g} requests/s: TTFT {format_quantity(at.ttft_s, 's')} at "
            f"p{limits.ttft_percentile:g}, TPOT {format_quantity(at.tpot_s, 's')} at p{limits.tpot_percentile:g}."
        )
        yield "Gated weights need a token of yours in HF_TOKEN."
        yield "Start:"
        yield from (f"  {line}" for line in start)
        if asked.cached_input_ratio is not None:
            cached = f"{asked.cached_input_ratio:.3g} of the prompt tokens in a prefix cache"
            yield f"Planned for {cached}; the prompts that confirm it share none."
        yield "Then confirm the objective under the planned load:"
        yield f"  {self.confirm()}"

    def confirm(self) -> str:
        """Return the command that measures what was planned."""
        asked = self.plan.question
        words = [
            "steelyard",
            "measure",
            "serve",
            "--url",
            f"http://127.0.0.1:{PORT}",
            "--rate",
            f"{self.rate_per_s:.3g}",
        ]
        if asked.isl_tokens is None:
            words += ["--load", asked.load]
        else:
            words += ["--isl", f"{asked.isl_tokens:.0f}", "--osl", f"{asked.osl_tokens:.0f}"]
        for name, limit in (("--ttft", asked.objective.ttft_s), ("--tpot", asked.objective.tpot_s)):
            if limit < math.inf:
                words += [name, f"{limit * 1e3:g}ms"]
        return shlex.join(words)


def replicas_of(plan: ServingPlan) -> Replicas:
    """Return what the replicas of the cheapest option run.

    Raises:
        InputError: Another engine, replicas that do only one phase, or a format that needs another checkpoint.
        UnknownError: The catalogue has no address of the weights.
    """
    first = device.load(plan.question.devices[0])
    engine = plan.question.engine_on(first)
    if engine.name != ENGINE:
        raise InputError(
            f"--emit writes files for {ENGINE}; the plan is for {engine.name}: plan with --engine {ENGINE}"
        )
    if plan.question.speculative_tokens:
        raise InputError("--emit writes no draft: which model proposes is not known; plan without --speculative-tokens")
    if plan.question.engine_version or engine != inference.engine_for(first, ENGINE):
        raise InputError("--emit takes the newest release: plan without a version of the engine")
    together = [option for option in plan.options if not option.candidate.decode_replicas]
    if not together:
        raise InputError("--emit writes replicas that do both prefill and decoding: plan with --together")
    option = together[0]
    on = device.load(option.candidate.device_id)
    return Replicas(
        plan=plan,
        option=option,
        weights=weights_of(plan.question.model),
        arguments=_arguments(plan, option),
        accelerator=on.accelerator,
    )


def weights_of(model: str) -> str:
    """Return where the weights of a model are: its Hugging Face repository, or the folder of a user's config.json.

    Raises:
        UnknownError: The catalogue knows a shape, and no published weights.

    Example:
        >>> weights_of("qwen3-32b")
        'Qwen/Qwen3-32B'
    """
    if Path(model).suffix == ".json":
        return str(Path(model).parent.resolve())
    record = catalog.model(model)
    for alias in record.aliases:
        if re.fullmatch(r"[\w.-]+/[\w.-]+", alias):
            return alias
    raise UnknownError(
        f"no published weights of {record.id} are known; give the path of the config.json in the folder of yours"
    )


def _arguments(plan: ServingPlan, option: PlanOption) -> dict[str, Any]:
    ways, model = option.candidate.deployment, arch.load(plan.question.model)
    engine = plan.question.engine_on(device.load(option.candidate.device_id))
    context = math.ceil(plan.longest_tokens / _CONTEXT_STEP) * _CONTEXT_STEP
    found: dict[str, Any] = {"tensor-parallel-size": ways.tp}
    if ways.pp > 1:
        found["pipeline-parallel-size"] = ways.pp
    if ways.dp > 1:
        found["data-parallel-size"] = ways.dp
    if ways.ep > 1:
        found["enable-expert-parallel"] = True
    if ways.weight_dtype != model.weight_dtype:
        found["quantization"] = _on_load(ways.weight_dtype, model.weight_dtype)
    if ways.kv_dtype.startswith("fp8"):
        found["kv-cache-dtype"] = "fp8"
    return found | {
        "max-model-len": int(min(context, model.max_context_tokens or context)),
        "max-num-seqs": int(engine.max_sequences),
        "max-num-batched-tokens": int(engine.chunk_tokens),
        "gpu-memory-utilization": engine.gpu_memory_utilization_ratio,
    }


def _on_load(wanted: str, stored: str) -> str:
    """Return how vLLM brings stored weights into another format as it loads them.

    Raises:
        InputError: It cannot.
    """
    if wanted == "fp8" and stored in {"bf16", "fp16", "fp32"}:
        return "fp8"
    raise InputError(
        f"{ENGINE} loads weights stored in {stored} as they are or in fp8; for {wanted} plan a model of the catalogue "
        "that is stored so"
    )
