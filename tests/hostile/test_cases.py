"""Hostile files made by hand, through the commands: every one is refused in one line, in little memory and time."""

import os
import resource
import subprocess
import sys

import pytest

from tests.hostile.cases import CASES
from tests.hostile.conftest import check

MEMORY = 6 * 2**30  # bytes of address space; the libraries alone map 2 to 3 GiB
OWN_PROCESS = ["model: vast width", "tar: zeros without end", "image: 10 gigapixels", "study: nested tables"]


SOME_SLOW = [pytest.param(name, marks=[pytest.mark.slow] if i % 3 else []) for i, name in enumerate(CASES)]


@pytest.mark.parametrize("name", SOME_SLOW)
def test_case(name, world, attack):
    attack(*world.words(*CASES[name]))


@pytest.mark.slow
@pytest.mark.parametrize("name", OWN_PROCESS)
def test_case_in_a_process_of_limited_memory(name, world):
    words = [sys.executable, "-m", "freqfast", *map(str, world.words(*CASES[name]))]
    limit = lambda: resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))  # noqa: E731
    done = subprocess.run(words, capture_output=True, text=True, timeout=120, check=False, preexec_fn=limit)
    check(done)
    assert not world.canary.exists()


@pytest.mark.slow
def test_too_little_memory_is_one_line_and_exit_code_1(world):
    """A sound request that the machine cannot serve."""
    words = [sys.executable, "-c", _HUNGRY, "quality", "zoo:robust-w16"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=120, check=False)
    check(done)
    assert done.returncode == 1


_HUNGRY = """
import resource, sys
import torch, freqfast.analysis.quality, freqfast.models.sources, freqfast.runs.directory
from freqfast.cli.main import main
used = int(open('/proc/self/statm').read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + 2**24,) * 2)
freqfast.analysis.quality.filter_quality = lambda *_: torch.empty(2**28)
main()
"""


# Records that are no files of text

RECORDS = {
    "recipe": ("stopped", "recipe.toml", ("run", "--resume", "{}")),
    "environment": ("stopped", "environment.json", ("run", "--resume", "{}")),
    "report": ("run", "report.json", ("rerun", "{}")),
    "evaluation": ("run", "evaluation.json", ("report", "{}", "-o", "page.html")),
    "analysis": ("run", "analysis/heatmap.json", ("report", "{}", "-o", "page.html")),
    "manifest": ("archive", "manifest.json", ("evaluate", "{model}", "--corrupted", "{}")),
    "result": ("result.json", "", ("evaluate", "{}")),
    "study": ("study.toml", "", ("study", "{}", "--table")),
    "published results": ("results.json", "", ("study", "{study}", "--table", "--results", "{}")),
}


ATTACKS = {
    "pipe": os.mkfifo,
    "1.5 GB": lambda path: (path.touch(), os.truncate(path, 3 * 2**29)),
}


@pytest.mark.parametrize("attack_name", ATTACKS)
@pytest.mark.parametrize("record", RECORDS)
def test_record_that_is_no_text(record, attack_name, world, attack, request):
    item, inner, words = RECORDS[record]
    if item in ("run", "stopped"):
        request.getfixturevalue("runs")
    if words[0] == "report":
        request.getfixturevalue("no_figures")
    path = world.copy(item)
    file = path / inner if inner else path
    file.parent.mkdir(exist_ok=True)
    file.unlink(missing_ok=True)
    ATTACKS[attack_name](file)
    ignored = record == "analysis"  # a report shows what files there are
    result = attack(*world.words(lambda world: path, words), harmless=ignored, mebibytes=100, seconds=20)
    assert result.returncode == 2 or ignored
