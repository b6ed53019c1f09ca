"""Memory of an evaluation beyond the model: one file at a time, whatever the folder holds."""

import subprocess
import sys

import numpy as np
import pytest

MIB = 2**20
COUNT, FILES = 3200, 8  # five blocks of so many images make a file of 47 MiB

SCRIPT = """
import resource, sys
import numpy as np
from torch import nn
from freqfast.robustness import evaluate_source
from freqfast.models.classifier import Classifier
from freqfast.robustness.archive.reading import stored_source

model = nn.Sequential(nn.AvgPool2d(16), nn.Flatten(), nn.Linear(12, 10))
classifier = Classifier(model, (0.5,) * 3, (0.25,) * 3, "cpu", "float32")
classifier.predict(np.zeros((250, 32, 32, 3), np.uint8))
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
result = evaluate_source([classifier], stored_source(sys.argv[1]))[0]
after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(len(result.outcomes), (after - before) * (1 if sys.platform == "darwin" else 1024))
"""


@pytest.mark.slow
def test_no_more_than_one_file_is_held(tmp_path, all_names):
    np.save(tmp_path / "labels.npy", np.zeros(5 * COUNT, np.uint8))
    images = np.random.default_rng(0).integers(0, 256, (5 * COUNT, 32, 32, 3), dtype=np.uint8)
    for name in all_names[:FILES]:
        np.save(tmp_path / f"{name}.npy", images)
    words = [sys.executable, "-c", SCRIPT, str(tmp_path)]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    cells, held = map(int, done.stdout.split())
    assert cells == 5 * FILES
    assert held < images.nbytes + 48 * MIB  # of 375 MiB; what is mapped counts while it is
