import multiprocessing
import runpy
import sys
from pathlib import Path

import pytest

from tests.support.tiny import TINY, outcome
from tests.training.conftest import _no_data_around, tree, two_corruptions  # noqa: F401


@pytest.fixture
def tell(capsys):
    """Prints a line of figures, whatever is captured."""

    def tell(line):
        with capsys.disabled():
            sys.stdout.write(f"\n{line}\n")

    return tell


@pytest.fixture(scope="session")
def fork(tmp_path_factory):
    """Starts a script in a process of its own, which a server that has imported everything forks in no time."""
    server = multiprocessing.get_context("forkserver")
    server.set_forkserver_preload(["freqfast.cli.main", "freqfast.training"])
    cache = str(tmp_path_factory.mktemp("cache"))

    def fork(script, *words):
        path = str(Path(__file__).with_name(script))
        process = server.Process(target=runpy.run_path, args=(path, None, "__main__"))
        with pytest.MonkeyPatch.context() as patch:  # the server's processes start with this one's arguments
            patch.setattr(sys, "argv", [path, cache, *map(str, words)])
            process.start()
        return process

    return fork


@pytest.fixture(scope="session")
def start(fork, tree):  # noqa: F811
    """Starts or goes on with a run of the tiny recipe."""
    return lambda out, recipe=TINY, limit=0: fork("child.py", out, tree, recipe.to_toml(), limit)


@pytest.fixture(scope="session")
def reference(start, tmp_path_factory):
    """What an uninterrupted run leaves."""
    out = tmp_path_factory.mktemp("reference") / "run"
    process = start(out)
    process.join()
    assert process.exitcode == 0
    return outcome(out)
