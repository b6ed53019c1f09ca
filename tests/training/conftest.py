import shutil

import numpy as np
import pytest

from tests.support import tiny
from tests.support.packages import install  # noqa: F401


@pytest.fixture(autouse=True)
def _no_data_around(tmp_path, monkeypatch):
    """Nothing of the machine's state plays a part, the checkout's among it, which someone may commit to meanwhile."""
    monkeypatch.setattr("freqfast.training.environment._git_state", lambda: None)
    monkeypatch.setenv("FREQFAST_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("FREQFAST_DATA", raising=False)


@pytest.fixture(scope="session")
def tree(tmp_path_factory):
    return tiny.make_tree(tmp_path_factory.mktemp("data") / "tree")


@pytest.fixture
def two_corruptions(monkeypatch):
    """Evaluation in a fraction of the time."""
    monkeypatch.setattr("freqfast.training.outcome.available", lambda: ("pixelate", "contrast"))


@pytest.fixture(scope="session")
def small():
    from freqfast.data import ImageData, ImageSet

    images = np.random.default_rng(0).integers(0, 256, (16, 16, 16, 3), dtype=np.uint8)
    part = ImageSet(images, np.arange(16) % 10)
    return ImageData("noise", tuple("abcdefghij"), part, part)


@pytest.fixture(scope="session")
def stopped_run(tree, tmp_path_factory):
    """A run that was stopped one step into its second epoch; made once."""
    from freqfast.data import load_data
    from freqfast.training import RunStoppedError, run_recipe

    folder = tmp_path_factory.mktemp("stopped")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FREQFAST_CACHE", str(folder / "cache"))
        patch.setattr("freqfast.training.environment._git_state", lambda: None)
        load_data("cifar10", tree)  # decoded, so that stop functions are not asked while that happens
        with pytest.raises(RunStoppedError):
            run_recipe(tiny.TINY, folder / "run", tree, "cpu", stop=tiny.stop_at(5))
    return folder / "run"


@pytest.fixture
def unfinished(stopped_run, tmp_path, two_corruptions):
    """A copy of that run."""
    return shutil.copytree(stopped_run, tmp_path / "run")
