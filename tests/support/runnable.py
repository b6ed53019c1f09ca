"""Fixtures of what a tiny run takes: data, its cache, nothing of the machine around it."""

import pytest

from tests.support.trees import make_tree


@pytest.fixture(scope="session")
def tree(tmp_path_factory):
    return make_tree(tmp_path_factory.mktemp("data") / "tree")


@pytest.fixture(scope="session")
def decoded(tree, tmp_path_factory):
    """A cache that holds the decoded tree, so that stop functions are not asked while that happens."""
    from freqfast.data import load_data

    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FREQFAST_CACHE", str(folder))
        load_data("cifar10", tree)
    return folder


@pytest.fixture(scope="module", autouse=True)  # one of a package without __init__.py would last to the session's end
def no_data_around(decoded):
    """Nothing of the machine's state plays a part, the checkout's among it, which someone may commit to meanwhile."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("freqfast.training.environment._git_state", lambda: None)
        patch.setenv("FREQFAST_CACHE", str(decoded))
        patch.delenv("FREQFAST_DATA", raising=False)
        yield
