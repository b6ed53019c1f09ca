"""What the README and the documentation promise, as far as it can be checked without running them whole."""

import inspect
import re
import shlex
from functools import cache
from pathlib import Path

import pytest
import torch
import typer
from freqfast.cli.main import app

import freqfast
from freqfast.models.build import build_model
from freqfast.models.parts import find_parts

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
DOCS = sorted(path for path in (ROOT / "docs").rglob("*.md") if "_build" not in path.parts)
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "recipes" / "README.md", *DOCS]
TEXTS = {str(path.relative_to(ROOT)): path.read_text(encoding="utf-8") for path in PAGES}
SHELL = re.findall(r"^```sh\n(.*?)^```$", README, flags=re.DOTALL | re.MULTILINE)
PYTHON = [
    (name, block)
    for name, text in TEXTS.items()
    for block in re.findall(r"^```python\n(.*?)^```$", text, flags=re.DOTALL | re.MULTILINE)
]
COMMAND_LINES = {
    line for text in TEXTS.values() for line in re.findall(r"(?<![\w/])freqfast \w+ [^`#&\n]*--[^`#&\n]*", text)
}
COMMANDS = typer.main.get_command(app).commands


@cache
def options_of(name):
    """The options that a command has."""
    command = COMMANDS[name]
    command = command.make_context(name, [], resilient_parsing=True).command
    return {option for parameter in command.params for option in parameter.opts}


def test_first_two_blocks_are_the_two_commands_one_line_each():
    run, tests = SHELL[:2]
    assert run.count("\n") == tests.count("\n") == 1
    assert shlex.split(run)[-3:] == ["freqfast", "run", "quickstart"]
    assert shlex.split(tests)[-1] == "pytest"


def test_readme_is_short():
    assert len(README.splitlines()) <= 90
    assert len(README.split()) <= 800


@pytest.mark.parametrize(("name", "block"), PYTHON, ids=[f"{name}-{i}" for i, (name, _) in enumerate(PYTHON)])
def test_python_blocks_compile(name, block):
    compile(block, name, "exec")


def test_plain_pytorch_block_trains():
    block = next(block for name, block in PYTHON if name == "README.md" and "Methods(" in block)
    model = build_model("resnet18", width=8)
    before = model.conv1.weight.detach().clone()
    loader = [(torch.randn(8, 3, 32, 32), torch.arange(8))]
    names = {"model": model, "torch": torch, "criterion": torch.nn.CrossEntropyLoss(), "loader": loader}
    exec(block, names | {"mean": [0.5] * 3, "std": [0.25] * 3})
    assert not torch.equal(before, model.conv1.weight)
    parts = find_parts(model)
    assert parts.equalization
    assert parts.low_passes


@pytest.mark.parametrize("name", TEXTS)
def test_commands_exist(name):
    blocks = re.findall(r"^```(?:sh|text)\n(.*?)^```$", TEXTS[name], flags=re.DOTALL | re.MULTILINE)
    assert set(re.findall(r"^freqfast (\w+)", "".join(blocks), flags=re.MULTILINE)) <= set(COMMANDS)


@pytest.mark.parametrize("line", sorted(COMMAND_LINES))
def test_options_of_commands_exist(line):
    options = re.findall(r"(?<!\S)--[a-z]\w*(?:-\w+)*", line)
    assert set(options) <= options_of(line.split()[1])


@pytest.mark.parametrize("path", DOCS, ids=lambda path: str(path.relative_to(ROOT)))
def test_options_that_a_page_names_alone_exist(path):
    known = set().union(*(options_of(name) for name in COMMANDS))
    named = re.findall(r"`(--[a-z]\w*(?:-\w+)*)", TEXTS[str(path.relative_to(ROOT))])
    assert set(named) <= known | {"--help"}


def anchors(page):
    """What a link may name on a page: the anchors that GitHub gives its headings, and MyST's own targets."""
    text = page.read_text(encoding="utf-8")
    lines = re.findall(r"^#+ (.*)$", text, flags=re.MULTILINE)
    headings = {re.sub(r"[^\w -]", "", line.lower()).replace(" ", "-") for line in lines}
    return headings | set(re.findall(r"^\(([\w-]+)\)=$", text, flags=re.MULTILINE))


@pytest.mark.parametrize("page", PAGES, ids=TEXTS)
def test_links_and_pictures_exist(page):
    for target in re.findall(r"\]\((?!https?:)([^)]+)\)", page.read_text(encoding="utf-8")):
        file, _, anchor = target.replace("\n", " ").partition("#")
        path = page.parent / file if file else page
        assert path.exists(), target
        assert not anchor or anchor in anchors(path), target


def test_reference_has_every_public_name():
    text = "".join(text for name, text in TEXTS.items() if name.startswith("docs/reference/python/"))
    names = {name for name in freqfast.__all__ if not inspect.ismodule(getattr(freqfast, name))}
    assert {name for name in names if not re.search(rf"\b{name}\b", text)} <= {"__version__"}


def test_changelog_and_citation_are_of_this_version_and_one_date():
    changelog, citation = ((ROOT / name).read_text(encoding="utf-8") for name in ("CHANGELOG.md", "CITATION.cff"))
    newest = re.search(r"^## \[(.+)\] - (.+)$", changelog, flags=re.MULTILINE).groups()
    cited = re.search(r"^version: (.+)\ndate-released: (.+)$", citation, flags=re.MULTILINE).groups()
    assert newest == cited
    assert newest[0] == freqfast.__version__
