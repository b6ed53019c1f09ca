"""The README's promises that can be checked without running them whole."""

import re
import shlex
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
SHELL = re.findall(r"^```sh\n(.*?)^```$", README, flags=re.DOTALL | re.MULTILINE)
PYTHON = re.findall(r"^```python\n(.*?)^```$", README, flags=re.DOTALL | re.MULTILINE)


def test_first_two_blocks_are_the_two_commands_one_line_each():
    run, tests = SHELL[:2]
    assert run.count("\n") == tests.count("\n") == 1
    assert shlex.split(run)[-3:] == ["freqfast", "run", "quickstart"]
    assert shlex.split(tests)[-1] == "pytest"


@pytest.mark.parametrize("block", PYTHON)
def test_python_blocks_compile(block):
    compile(block, "README.md", "exec")


def test_plain_pytorch_block_runs(tmp_path, monkeypatch):
    from freqfast.models import build_model

    monkeypatch.chdir(tmp_path)
    block = next(block for block in PYTHON if "project_filters" in block)
    exec(block, {"model": build_model("resnet18", width=8)})
    assert (tmp_path / "filters.h5").stat().st_size > 1000


def test_names_every_command_and_no_other():
    from freqfast.cli.main import app

    commands = {command.callback.__name__ for command in app.registered_commands}
    named = set(re.findall(r"^freqfast (\w+)", README, flags=re.MULTILINE))
    assert named == commands


def test_links_and_pictures_exist():
    for target in re.findall(r"\]\((?!https?:)([^)#]+)\)", README):
        assert (ROOT / target).exists(), target
