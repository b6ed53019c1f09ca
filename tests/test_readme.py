"""The README's promises that can be checked without running them whole."""

import re
import shlex
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
RECIPES_README = (ROOT / "recipes" / "README.md").read_text(encoding="utf-8")
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
    from freqfast.models.resnet import build_model

    monkeypatch.chdir(tmp_path)
    block = next(block for block in PYTHON if "project_filters" in block)
    exec(block, {"model": build_model("resnet18", width=8)})
    assert (tmp_path / "filters.h5").stat().st_size > 1000


def test_names_every_command_and_no_other():
    from freqfast.cli.main import app

    commands = {command.callback.__name__ for command in app.registered_commands}
    named = set(re.findall(r"^freqfast (\w+)", README, flags=re.MULTILINE))
    assert named == commands


@pytest.mark.parametrize("line", re.findall(r"(?<![\w/])freqfast \w+ [^`#&\n]*--[^`#&\n]*", README + RECIPES_README))
def test_options_that_it_shows_exist(line):
    import typer
    from freqfast.cli.main import app

    name, options = line.split()[1], re.findall(r"--[a-z]\w*(?:-\w+)*", line)
    command = typer.main.get_command(app).commands[name]
    assert set(options) <= {option for parameter in command.params for option in parameter.opts}


def headings(page):
    """The anchors that GitHub gives a page's headings."""
    lines = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return {re.sub(r"[^\w -]", "", line.lower()).replace(" ", "-") for line in lines}


@pytest.mark.parametrize("page", ["README.md", "recipes/README.md"])
def test_links_and_pictures_exist(page):
    text = (ROOT / page).read_text(encoding="utf-8")
    for target in re.findall(r"\]\((?!https?:)([^)]+)\)", text):
        file, _, heading = target.partition("#")
        path = (ROOT / page).parent / file if file else ROOT / page
        assert path.exists(), target
        assert not heading or heading in headings(path), target
