import shutil

import numpy as np
import pytest

from tests.support import tiny
from tests.support.runnable import decoded, no_data_around, tree  # noqa: F401
from tests.support.trees import write_colours


@pytest.fixture(scope="session")
def small():
    from freqfast.data import ImageData, Images

    images = np.random.default_rng(0).integers(0, 256, (16, 16, 16, 3), dtype=np.uint8)
    part = Images(images, np.arange(16) % 10)
    return ImageData("noise", tuple("abcdefghij"), part, part)


@pytest.fixture(scope="module")
def stopped_run(tree, tmp_path_factory):  # noqa: F811
    """A run that was stopped one step into its second epoch; made once for a file."""
    from freqfast.training import RunStoppedError, run_recipe

    out = tmp_path_factory.mktemp("stopped") / "run"
    with pytest.raises(RunStoppedError):
        run_recipe(tiny.TINY, out, tree, "cpu", stop=tiny.stop_at(5))
    return out


@pytest.fixture
def unfinished(stopped_run, tmp_path, two_corruptions):
    """A copy of that run."""
    return shutil.copytree(stopped_run, tmp_path / "run")


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    """Images of three colours to train on and to validate by."""
    root = tmp_path_factory.mktemp("colours")
    for part, count in (("train", 4), ("valid", 6)):
        write_colours(root / part, count, ".jpg")
    return root


@pytest.fixture
def learn(folder):
    """A Learner on these."""
    from tests.support.colour_learners import colour_learner

    return colour_learner(folder)
