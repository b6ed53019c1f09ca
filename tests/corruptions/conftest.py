import numpy as np
import pytest

from tests.support import corrupted, corruption_oracles


@pytest.fixture(scope="session")
def oracles():
    """The per-image definitions."""
    return corruption_oracles


@pytest.fixture(scope="session")
def oracle(frost_dir):
    """``oracle(images, name, severity, rng)``: the definition on each image in turn."""

    def run(images, name, severity, rng):
        options = {"photographs": corrupted.read_frost(frost_dir)} if name == "frost" else {}
        return np.stack([getattr(corruption_oracles, name)(image, severity, rng, **options) for image in images])

    return run
