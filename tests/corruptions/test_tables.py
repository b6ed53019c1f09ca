import numpy as np
import pytest

from freqfast.corruptions import SEVERITIES, TABLES, corrupt, find_table
from tests.corruptions.test_batch import BUILT_IN


@pytest.mark.parametrize(
    ("height", "width", "table"),
    [(47, 500, "cifar10"), (48, 48, "tiny-imagenet"), (500, 111, "tiny-imagenet"), (112, 112, "imagenet")],
)
def test_the_shorter_side_chooses_the_table(height, width, table):
    assert find_table("auto", height, width) == table
    assert {known: find_table(known, height, width) for known in TABLES} == {known: known for known in TABLES}
    image = np.random.default_rng(0).integers(0, 256, (1, height, width, 3), dtype=np.uint8)
    results = {known: corrupt(image, "defocus_blur", 2, table=known).tobytes() for known in ("auto", *TABLES)}
    assert len(set(results.values())) == 3
    assert results["auto"] == results[table]


@pytest.mark.parametrize("name", BUILT_IN)
def test_any_size_and_severity(name, frost_dir):
    """Square or not, from 16 pixels, and smaller than what a filter reaches; no severity is another one."""
    rng = np.random.default_rng(0)
    sizes = {"cifar10": (33, 58), "tiny-imagenet": (16, 16), "imagenet": (40, 16)}
    for table, size in sizes.items():
        images = rng.integers(0, 256, (1, *size, 3), dtype=np.uint8)
        results = {corrupt(images, name, s, frost_dir=frost_dir, table=table).tobytes() for s in SEVERITIES}
        assert len(results | {images.tobytes()}) >= 5, table
    assert corrupt(images[:, :8, :8], name, 5, frost_dir=frost_dir, table="imagenet").shape == (1, 8, 8, 3)
