import importlib.util
from pathlib import Path

import pytest


def _load(name):
    """A helper module beside this file (the tests are no package, so it is loaded by its path)."""
    spec = importlib.util.spec_from_file_location(f"corruption_{name}", Path(__file__).with_name(f"{name}.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def oracles():
    """The per-image definitions."""
    return _load("oracles")


@pytest.fixture(scope="session")
def support():
    return _load("support")


@pytest.fixture(scope="session")
def photos(support):
    """Some 200 real patches, uint8 ``(N, 32, 32, 3)``."""
    return support.photo_patches()


@pytest.fixture(scope="session")
def frost_dir(support, tmp_path_factory):
    return support.write_frost_stand_ins(tmp_path_factory.mktemp("frost"))


@pytest.fixture(scope="session")
def oracle(oracles, support, frost_dir):
    """``oracle(images, name, severity, rng)``: the definition on each image in turn."""
    import numpy as np

    def run(images, name, severity, rng):
        options = {"photographs": support.read_frost(frost_dir)} if name == "frost" else {}
        return np.stack([getattr(oracles, name)(image, severity, rng, **options) for image in images])

    return run
