from itertools import product

import numpy as np
import pytest

from freqfast.corruptions import C_BAR, IMAGENET_C_BAR, SEVERITIES, TABLES, corrupt, find_table
from freqfast.corruptions.tables import parameters
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


def test_what_only_one_of_the_c_bar_sets_has_is_the_same_at_every_size():
    """At 64 pixels, what both have is CIFAR-10's."""
    both = set(C_BAR) & set(IMAGENET_C_BAR)
    for severity, name in product(SEVERITIES, {*C_BAR, *IMAGENET_C_BAR}):
        small, medium, large = (parameters(name, table, severity) for table in TABLES)
        assert medium == small
        assert name in both or large == small


@pytest.mark.parametrize("name", BUILT_IN)
def test_any_size_and_severity(name, frost_dir):
    """Square or not, even or odd, from 16 pixels, smaller than what a filter reaches; no severity is another one."""
    rng = np.random.default_rng(0)
    sizes = {"cifar10": (33, 57), "tiny-imagenet": (16, 16), "imagenet": (40, 16)}
    for table, size in sizes.items():
        images = rng.integers(0, 256, (1, *size, 3), dtype=np.uint8)
        results = {corrupt(images, name, s, frost_dir=frost_dir, table=table).tobytes() for s in SEVERITIES}
        assert len(results | {images.tobytes()}) >= 5, table
    assert corrupt(images[:, :8, :8], name, 5, frost_dir=frost_dir, table="imagenet").shape == (1, 8, 8, 3)
