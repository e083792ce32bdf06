"""Emitted files, each read by the program that it is for."""

from __future__ import annotations

import dataclasses
import json
import re
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from consumers import consumer, program, ran
from steelyard.compare.jobs import TrainingJob, TrainingPlan, plan_training
from steelyard.compare.jobs.layouts import parse_layout
from steelyard.compare.jobs.plan import Option
from steelyard.compare.serving.plan import plan_serving
from steelyard.compare.serving.plan_result import ServingPlan, ServingPlanQuestion
from steelyard.errors import InputError, UnknownError
from steelyard.records.workload import Objective
from steelyard.report.emit import SERVING, TRAINING, serving_file, training_file


@cache
def serving_plan(model: str = "qwen3-8b", device: str = "h100", rate: float = 60.0, devices: int = 8) -> ServingPlan:
    return plan_serving(
        ServingPlanQuestion(
            model=model, devices=(device,), max_devices=devices, isl_tokens=1000, osl_tokens=300,
            request_rate_per_s=rate, objective=Objective(ttft_s=2.0, tpot_s=0.04), separate=False, draws=0,
        )
    )  # fmt: skip


@cache
def training_plan(
    model: str = "llama-3.1-8b", kind: str = "pretrain", count: int = 16, layout: str = ""
) -> TrainingPlan:
    job = TrainingJob(model_ref=model, device_ref="h100", tokens=1e11, kind=kind, draws=10)
    plan = plan_training(job, [count])
    if not layout:
        return plan
    stated = parse_layout(layout, count, job.batch_sequences)
    simplest: Option = dataclasses.replace(plan.simplest, layout=stated)
    return dataclasses.replace(plan, simplest=simplest)


def body(text: str) -> Any:
    return yaml.safe_load(text)


def test_a_vllm_file_holds_the_planned_layout_and_limits() -> None:
    plan = serving_plan()
    held = body(serving_file(plan, "vllm"))
    ways = plan.cheapest.candidate.deployment
    assert held["model"] == "Qwen/Qwen3-8B"
    assert held["tensor-parallel-size"] == ways.tp
    assert held["max-model-len"] >= 1300
    assert held["host"] == "127.0.0.1"


@pytest.mark.parametrize("kind", SERVING)
def test_every_serving_file_says_how_to_start_and_to_confirm_it(kind: str) -> None:
    text = serving_file(serving_plan(), kind)
    assert "# Start:" in text
    assert "steelyard measure serve --url http://127.0.0.1:8000 --rate 60 --isl 1000 --osl 300 --ttft 2000ms" in text


@pytest.mark.parametrize("kind", SERVING)
def test_the_command_that_confirms_is_one_that_measure_serve_takes(kind: str) -> None:
    from steelyard.cli.measure_serve import command

    line = re.search(r"#   steelyard measure serve (.+)", serving_file(serving_plan(), kind))
    assert line is not None
    context = command.make_context("serve", line[1].split())
    assert context.params["rate"] == 60.0


def test_compose_takes_the_file(tmp_path: Path) -> None:
    plan = serving_plan()
    (tmp_path / "compose.yaml").write_text(serving_file(plan, "compose"))
    shown = ran(program("docker-compose"), "-f", "compose.yaml", "config", "--format", "json", folder=tmp_path)
    assert shown.returncode == 0, shown.stderr
    services = json.loads(shown.stdout)["services"]
    taken = [
        device["device_ids"]
        for name, service in services.items()
        if name != "balancer"
        for device in service["deploy"]["resources"]["reservations"]["devices"]
    ]
    assert len(taken) == plan.cheapest.units
    flat = [one for ids in taken for one in ids]
    assert len(set(flat)) == len(flat) == plan.cheapest.num_devices  # no device twice


@pytest.mark.parametrize(("device", "resource"), [("h100", "nvidia.com/gpu"), ("mi300x", "amd.com/gpu")])
def test_a_pod_asks_for_the_devices_of_a_replica(device: str, resource: str) -> None:
    plan = serving_plan(device=device)
    objects = list(yaml.safe_load_all(serving_file(plan, "kubernetes")))
    assert [found["kind"] for found in objects] == ["Deployment", "Service", "PodDisruptionBudget"]
    assert objects[0]["spec"]["replicas"] == plan.cheapest.units
    limits = objects[0]["spec"]["template"]["spec"]["containers"][0]["resources"]["limits"]
    assert limits == {resource: plan.cheapest.candidate.num_devices}


@pytest.mark.slow
@pytest.mark.parametrize("device", ["h100", "mi300x"])
def test_kubernetes_takes_the_objects(device: str, tmp_path: Path) -> None:
    (tmp_path / "objects.yaml").write_text(serving_file(serving_plan(device=device), "kubernetes"))
    check = (
        "import yaml, kubernetes_validate\n"
        "for found in yaml.safe_load_all(open('objects.yaml')):\n"
        "    print(kubernetes_validate.validate(found, desired_version='1.33', strict=True))\n"
    )
    shown = ran(consumer("kubernetes_validate"), "-c", check, folder=tmp_path)
    assert shown.returncode == 0, shown.stderr
    assert len(shown.stdout.splitlines()) == 3


@pytest.mark.slow
def test_ray_serve_takes_the_file(tmp_path: Path) -> None:
    (tmp_path / "serve.yaml").write_text(serving_file(serving_plan(), "ray-serve"))
    check = (
        "import yaml; from ray.serve.schema import ServeDeploySchema; from ray.serve.llm import LLMConfig\n"
        "found = yaml.safe_load(open('serve.yaml'))\n"
        "ServeDeploySchema.parse_obj(found)\n"
        "args = found['applications'][0]['args']\n"
        "[LLMConfig(**one) for one in args['llm_configs']]\n"
    )
    shown = ran(consumer("ray.serve.llm"), "-c", check, folder=tmp_path)
    assert shown.returncode == 0, shown.stderr


@pytest.mark.slow
def test_vllm_s_own_parser_takes_the_file(tmp_path: Path) -> None:
    (tmp_path / "plan.yaml").write_text(serving_file(serving_plan(), "vllm"))
    check = (
        "from vllm.utils.argparse_utils import FlexibleArgumentParser\n"
        "try:\n"
        "    from vllm.entrypoints.launchers.cli_args import make_arg_parser, validate_parsed_serve_args\n"
        "except ImportError:\n"
        "    from vllm.entrypoints.openai.cli_args import make_arg_parser, validate_parsed_serve_args\n"
        "parser = make_arg_parser(FlexibleArgumentParser())\n"
        "args = parser.parse_args(['serve', '--config', 'plan.yaml'])\n"
        "validate_parsed_serve_args(args)\n"
        "print(args.tensor_parallel_size, args.max_num_seqs, args.model)\n"
    )
    shown = ran(consumer("vllm"), "-c", check, folder=tmp_path)
    assert shown.returncode == 0, shown.stderr
    ways = serving_plan().cheapest.candidate.deployment
    assert shown.stdout.split()[-3] == str(ways.tp)


@pytest.mark.parametrize("kind", ["torchrun", "slurm"])
@pytest.mark.parametrize(("model", "method"), [("llama-3.1-8b", "pretrain"), ("qwen3-0.6b", "lora")])
def test_shellcheck_finds_nothing_in_the_scripts(kind: str, model: str, method: str, tmp_path: Path) -> None:
    (tmp_path / "run.sh").write_text(training_file(training_plan(model, method), kind))
    shown = ran(program("shellcheck"), "run.sh", folder=tmp_path)
    assert shown.returncode == 0, shown.stdout


@pytest.mark.parametrize("kind", TRAINING)
def test_every_training_file_says_how_to_start_it(kind: str) -> None:
    text = training_file(training_plan(), kind)
    assert "# Start:" in text
    assert "Layout: " in text


def test_our_own_job_file_is_one_that_steelyard_train_takes(tmp_path: Path) -> None:
    from steelyard.runtime.train import load_job

    text = training_file(training_plan("qwen3-0.6b", "lora"), "torchrun")
    (tmp_path / "job.yaml").write_text(text.split("<<'END_OF_FILE'\n")[1].split("END_OF_FILE")[0])
    job = load_job(tmp_path / "job.yaml", {})
    assert job.lora is not None
    assert job.limits.tokens == 10**11


@pytest.mark.parametrize("layout", ["tp=4,pp=4,vpp=2,zero=1", "dp=16,zero=3,replicas=2", "dp=16,zero=0", "tp=2,cp=2"])
def test_the_ray_script_is_python_and_holds_the_file(layout: str) -> None:
    text = training_file(training_plan(layout=layout), "ray")
    names: dict[str, Any] = {"__name__": "checked"}
    start, end = text.index("FILE = "), text.index("def run")
    exec(text[start:end], names)
    compile(names["FILE"], "planned.py", "exec")
    compile(text, "ray.py", "exec")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("model", "layout", "told"),
    [
        ("llama-3.1-8b", "tp=4,pp=4,vpp=2,zero=1,recompute=full", "4 4 Interleaved1F1B"),
        ("llama-3.1-8b", "pp=2,zero=2", "1 2 1F1B"),
        ("qwen3-30b-a3b", "tp=2,ep=8,zero=3,recompute=selective", "2 1 1F1B"),
        ("llama-3.1-8b", "dp=16,zero=3,replicas=2", "1 1 1F1B"),
    ],
)
def test_torchtitan_takes_the_configuration(model: str, layout: str, told: str, tmp_path: Path) -> None:
    (tmp_path / "planned.py").write_text(training_file(training_plan(model, layout=layout), "torchtitan"))
    check = (
        "from torchtitan.config import ConfigManager\n"
        "ways = ConfigManager().parse_args(['--module', 'planned', '--config', 'planned']).parallelism\n"
        "print(ways.tensor_parallel_degree, ways.pipeline_parallel_degree, ways.pipeline_parallel_schedule)\n"
        "from torchtitan.distributed import ParallelDims\n"
        "ParallelDims(dp_replicate=ways.data_parallel_replicate_degree, dp_shard=ways.data_parallel_shard_degree, "
        "cp=ways.context_parallel_degree, tp=ways.tensor_parallel_degree, pp=ways.pipeline_parallel_degree, "
        "ep=ways.expert_parallel_degree, world_size=16)\n"
    )
    shown = ran(consumer("torchtitan"), "-c", check, folder=tmp_path)
    assert shown.returncode == 0, shown.stderr
    assert shown.stdout.strip().splitlines()[-1] == told


@pytest.mark.parametrize(
    ("kind", "changed", "message"),
    [
        ("compose", {"rate": 400.0, "devices": 64}, "Compose starts one node of 8 devices"),
        ("compose", {"device": "tpu-v6e", "rate": 30.0}, "no container image of vllm"),
        ("vllm", {"model": "gpt-3-6.7b", "devices": 32}, "no published weights of gpt-3-6.7b are known"),
    ],
)
def test_what_cannot_be_emitted_is_one_line_with_the_next_step(
    kind: str, changed: dict[str, Any], message: str
) -> None:
    with pytest.raises((InputError, UnknownError), match=re.escape(message)):
        serving_file(serving_plan(**changed), kind)


def test_a_layout_no_trainer_has_is_refused_with_what_to_plan() -> None:
    with pytest.raises(InputError, match=r"torchtitan does not have gemma-2-2b.*without tp=2: plan with"):
        training_file(training_plan("gemma-2-2b", layout="tp=2"), "torchrun")


def test_a_name_with_line_breaks_stays_inside_its_comment(tmp_path: Path) -> None:
    folder = tmp_path / "evil\nimport os #"
    folder.mkdir()
    shape = {"model_type": "llama", "hidden_size": 512, "intermediate_size": 1024, "num_hidden_layers": 4}
    shape |= {"num_attention_heads": 8, "vocab_size": 32000, "max_position_embeddings": 4096}
    (folder / "config.json").write_text(json.dumps(shape))
    text = training_file(training_plan(str(folder / "config.json"), layout="dp=16,zero=0"), "ray")
    assert not re.search(r"^import os #", text.split('FILE = """')[0], re.MULTILINE)
    compile(text, "ray.py", "exec")
