import sys

import pytest

from tests.faults import processes
from tests.support.forked import SERVER
from tests.support.runnable import decoded, no_data_around, tree  # noqa: F401
from tests.support.tiny import TINY, outcome


@pytest.fixture
def tell(capsys):
    """Prints a line of figures, whatever is captured."""

    def tell(line):
        with capsys.disabled():
            sys.stdout.write(f"\n{line}\n")

    return tell


@pytest.fixture(scope="session")
def fork(decoded):  # noqa: F811
    """Starts a function of `processes` in a process that a server forks quickly: it has imported everything."""

    def fork(function, *words):
        process = SERVER.Process(target=function, args=(decoded, *words))
        process.start()
        return process

    return fork


@pytest.fixture(scope="session")
def start(fork, tree):  # noqa: F811
    """Starts or goes on with a run of the tiny recipe."""
    return lambda out, recipe=TINY, limit=0: fork(processes.train, out, tree, recipe.to_toml(), limit)


@pytest.fixture(scope="session")
def finished(start, tmp_path_factory):
    """An uninterrupted run."""
    out = tmp_path_factory.mktemp("finished") / "run"
    process = start(out)
    process.join()
    assert process.exitcode == 0
    return out


@pytest.fixture(scope="session")
def reference(finished):
    """What an uninterrupted run leaves."""
    return outcome(finished)
