"""The files that the ten worked scenarios' plans emit, all of them read by their consumers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from consumers import consumer, program, ran
from steelyard.compare.jobs import plan_training
from steelyard.compare.questions import serving_question, training_question
from steelyard.compare.scenario_file import load_scenario
from steelyard.compare.serving.plan import plan_serving
from steelyard.errors import InputError, SteelyardError, UnknownError
from steelyard.report.emit import SERVING, TRAINING, serving_file, training_file

EXAMPLES = Path(__file__).parents[2] / "examples"
FILES = sorted(EXAMPLES.glob("*.yaml"))
MOST_DEVICES = 64
ENDINGS = dict.fromkeys(SERVING, "yaml") | {"ray": "py", "torchtitan": "py"}  # else a shell script
NEXT_STEPS = ("take --emit", "plan with", "give the path", "times the", "are allowed", "choose ")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not FILES, reason="the examples are not beside the tests"),
]
CHECKS = {
    "vllm": """
import glob
from vllm.utils.argparse_utils import FlexibleArgumentParser
from vllm.entrypoints.launchers.cli_args import make_arg_parser, validate_parsed_serve_args
for path in sorted(glob.glob('*.vllm.yaml')):
    args = make_arg_parser(FlexibleArgumentParser()).parse_args(['serve', '--config', path])
    validate_parsed_serve_args(args)
    print(path)
""",
    "kubernetes_validate": """
import glob, yaml, kubernetes_validate
for path in sorted(glob.glob('*.kubernetes.yaml')):
    for found in yaml.safe_load_all(open(path)):
        kubernetes_validate.validate(found, desired_version='1.33', strict=True)
    print(path)
""",
    "ray.serve.llm": """
import glob, yaml
from ray.serve.schema import ServeDeploySchema
from ray.serve.llm import LLMConfig
for path in sorted(glob.glob('*.ray-serve.yaml')):
    found = yaml.safe_load(open(path))
    ServeDeploySchema.parse_obj(found)
    [LLMConfig(**one) for one in found['applications'][0]['args']['llm_configs']]
    print(path)
""",
    "torchtitan": """
import glob, shutil
from torchtitan.config import ConfigManager
for path in sorted(glob.glob('*.torchtitan.py')):
    name = path.split('.')[0].replace('-', '_')
    shutil.copy(path, name + '.py')
    ConfigManager().parse_args(['--module', name, '--config', 'planned'])
    print(path)
""",
}


def serving_files(path: Path) -> Callable[[str], str] | None:
    scenario = load_scenario(path)
    if scenario.routes.serve is None:
        return None
    plan = plan_serving(serving_question(scenario, MOST_DEVICES))
    return lambda kind: serving_file(plan, kind)


def training_files(path: Path) -> Callable[[str], str] | None:
    try:
        job, count = training_question(load_scenario(path))
    except InputError:
        return None
    plan = plan_training(job, [count])
    return lambda kind: training_file(plan, kind)


@pytest.fixture(scope="module")
def emitted(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    """Return the folder with every file that can be emitted, and why the others cannot."""
    folder, refused = tmp_path_factory.mktemp("emitted"), {}
    for path in FILES:
        for kinds, plan in ((SERVING, serving_files), (TRAINING, training_files)):
            try:
                write = plan(path)
            except SteelyardError as error:  # no deployment within the objective
                refused[f"{path.stem}: {plan.__name__}"] = str(error)
                continue
            for kind in kinds if write else ():
                try:
                    text = write(kind)
                except (InputError, UnknownError) as error:
                    refused[f"{path.stem}.{kind}"] = str(error)
                    continue
                (folder / f"{path.stem}.{kind}.{ENDINGS.get(kind, 'sh')}").write_text(text)
    return folder, refused


@pytest.mark.parametrize("module", CHECKS)
def test_the_consumer_takes_every_file(module: str, emitted: tuple[Path, dict[str, str]]) -> None:
    shown = ran(consumer(module), "-c", CHECKS[module], folder=emitted[0])
    assert shown.returncode == 0, shown.stderr[-2000:]
    assert shown.stdout.strip(), "no file was there to be checked"


def test_compose_takes_every_file(emitted: tuple[Path, dict[str, str]]) -> None:
    found = program("docker-compose")
    files = sorted(emitted[0].glob("*.compose.yaml"))
    assert files
    for path in files:
        shown = ran(found, "-f", path, "config", "--quiet", folder=emitted[0])
        assert shown.returncode == 0, f"{path.name}: {shown.stderr}"


def test_shellcheck_finds_nothing(emitted: tuple[Path, dict[str, str]]) -> None:
    found = program("shellcheck")
    scripts = sorted(emitted[0].glob("*.sh"))
    assert scripts
    shown = ran(found, *scripts, folder=emitted[0])
    assert shown.returncode == 0, shown.stdout


def test_every_refusal_says_what_to_do_instead(emitted: tuple[Path, dict[str, str]]) -> None:
    for name, told in emitted[1].items():
        assert any(words in told for words in NEXT_STEPS), f"{name}: {told}"
