import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))  # the tests are no package: stored.py is imported by its own name


@pytest.fixture
def images(photos):
    return photos[:5]


@pytest.fixture
def labels():
    return np.array([3, 0, 9, 1, 3])


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "new" / "corrupted"
