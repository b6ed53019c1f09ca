"""Corruptions on photographs, against definitions written apart from the package; see also test_same_draws.py."""

import numpy as np
import pytest

from freqfast.corruptions import CORRUPTIONS, FAMILIES, SEVERITIES, corrupt
from tests.support import corrupted
from tests.support.corruption_oracles import define

DETERMINISTIC = (
    "gaussian_blur",
    "defocus_blur",
    "zoom_blur",
    "brightness",
    "contrast",
    "saturate",
    "pixelate",
    "jpeg_compression",
)
TO_THE_BIT = ("gaussian_blur", "pixelate", "jpeg_compression")


@pytest.mark.parametrize(
    ("table", "side", "count"), [("cifar10", 32, 25), ("tiny-imagenet", 64, 4), ("imagenet", 120, 1)]
)
@pytest.mark.parametrize("name", DETERMINISTIC)
def test_deterministic_matches_its_definition(name, table, side, count, photos):
    images = corrupted.with_flat(corrupted.photographs(side)[:count] if side > 32 else photos[:count])
    for severity in SEVERITIES:
        gap = np.abs(
            corrupt(images, name, severity, table="auto").astype(int)
            - define(images, name, severity, None, table=table)
        )
        assert gap.max() <= (0 if name in TO_THE_BIT and side == 32 else 1)
        assert (gap[:count] > 0).mean() < 0.03  # of flat regions, float rounding decides between neighbouring levels


@pytest.mark.parametrize(("table", "severity"), [("cifar10", 1), ("cifar10", 4), ("tiny-imagenet", 3), ("imagenet", 5)])
@pytest.mark.parametrize("name", FAMILIES["noise"])
def test_noise_agrees_within_its_standard_error(name, table, severity, photos):
    """The mean over images of every statistic, paired by image; 4.5 standard errors and half a percent of slack."""
    images = photos[:60]
    actual = corrupt(images, name, severity, seed=1, table=table)
    expected = define(images, name, severity, np.random.default_rng(2), table=table)
    a, e = corrupted.image_statistics(images, actual), corrupted.image_statistics(images, expected)
    for key in a:
        gap = a[key] - e[key]
        error = gap.std(axis=0, ddof=1) / np.sqrt(len(images))
        slack = 0.005 * np.abs(e["mae"].mean() if key == "shift" else e[key].mean(axis=0))
        assert np.all(np.abs(gap.mean(axis=0)) <= 4.5 * error + slack), key


@pytest.mark.slow
@pytest.mark.parametrize("severity", SEVERITIES)
@pytest.mark.parametrize("name", CORRUPTIONS)
def test_statistics_hold_on_cifar10(name, severity, cifar10, frost_dir):
    # The spectra of what one angle, one crop or one warp an image does are heavy-tailed: they need many images.
    images = cifar10 if name in ("motion_blur", "snow", "frost", "elastic_transform") else cifar10[:2000]
    actual = corrupt(images, name, severity, frost_dir=frost_dir)
    expected = define(images, name, severity, np.random.default_rng(0), frost_dir)
    found = corrupted.deviations(images, actual, expected)
    assert all(found[key] <= limit for key, limit in corrupted.LIMITS.items()), found


@pytest.fixture(scope="module")
def cifar10():
    images = corrupted.cifar10_test()
    if images is None:
        pytest.skip("no cifar10.tgz in FREQFAST_DATA or ../shared/data")
    return images
