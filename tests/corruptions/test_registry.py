import shutil
from functools import partial
from itertools import chain

import numpy as np
import pytest

from freqfast.corruptions import (
    C_BAR,
    CORRUPTIONS,
    EXTRA,
    FAMILIES,
    IMAGENET_C_BAR,
    MAIN,
    TABLES,
    available,
    corrupt,
    find_set,
    plugin_corruptions,
    runnable,
)
from freqfast.corruptions.photographs import DISTRIBUTION, find_photographs
from freqfast.corruptions.registry import HEADLINES, MEAN7


def test_names_and_families():
    assert (len(MAIN), len(EXTRA), len(set(C_BAR) - set(CORRUPTIONS))) == (15, 4, 10)
    assert sorted(chain.from_iterable(FAMILIES.values())) == sorted(CORRUPTIONS)
    assert HEADLINES == ("mean15", "mean7", "mean19", "mean_bar", "mean_bar_imagenet")
    assert MEAN7 == ("snow", "frost", "fog", "brightness", "elastic_transform", "pixelate", "jpeg_compression")
    assert not set(C_BAR) & set(available())  # what is evaluated by default
    for table in TABLES:
        assert find_set("c", table) == CORRUPTIONS
        assert find_set("bar", table) == (IMAGENET_C_BAR if table == "imagenet" else C_BAR)
    assert (len(set(IMAGENET_C_BAR)), len(set(IMAGENET_C_BAR) & set(C_BAR))) == (10, 5)


def test_frost_without_photographs_is_left_out_with_one_line(no_frost, photos):
    assert set(available()) >= set(CORRUPTIONS) - {"frost"}
    assert "frost" not in available()
    names, (note,) = runnable(("snow", "frost", "fog"))
    assert names == ("snow", "fog")
    assert runnable(C_BAR) == (C_BAR, [])
    with pytest.raises(FileNotFoundError, match=r"pip install 'freqfast\[frost\]'") as caught:
        corrupt(photos[:2], "frost", 1)
    assert "\n" not in str(caught.value)
    assert note == f"frost is left out: {caught.value}"


def test_frost_dir(no_frost, frost_dir, tmp_path, photos, monkeypatch):
    assert runnable(CORRUPTIONS, frost_dir) == (CORRUPTIONS, [])
    for ask in (partial(runnable, CORRUPTIONS), partial(corrupt, photos[:1], "frost", 1)):
        with pytest.raises(FileNotFoundError, match=r"no frost1\.png, frost2\.png"):
            ask(frost_dir=tmp_path)  # a folder that is named must hold them
    shutil.copytree(frost_dir, tmp_path, dirs_exist_ok=True)
    (tmp_path / "frost3.png").write_bytes(b"not an image")
    with pytest.raises(ValueError, match=r"frost3.png' cannot be read"):
        corrupt(photos[:1], "frost", 1, frost_dir=tmp_path)
    shutil.copy(frost_dir / "frost3.png", tmp_path)
    monkeypatch.setattr("freqfast.corruptions.photographs.PIXEL_LIMIT", 2**10)
    with pytest.raises(ValueError, match=r"frost3.png' cannot be read: \d+x\d+ pixels are too many"):
        corrupt(photos[:1], "frost", 1, frost_dir=tmp_path)


def test_photographs_of_an_installed_distribution(monkeypatch, frost_dir, tmp_path):
    """They are found by the distribution's list of files; its package, which would fail here, is not imported."""
    folder = shutil.copytree(frost_dir, tmp_path / "imagecorruptions" / "frost")
    (tmp_path / "imagecorruptions" / "__init__.py").write_text("raise ImportError('imported')")
    info = tmp_path / "imagecorruptions_imaug-9.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {DISTRIBUTION}\nVersion: 9\n")
    (info / "RECORD").write_text("".join(f"imagecorruptions/frost/{p.name},,\n" for p in frost_dir.iterdir()))
    monkeypatch.syspath_prepend(tmp_path)
    assert [path.parent for path in find_photographs()] == [folder] * 5


def test_corruption_of_another_package(install, photos):
    """It is one function and one entry point."""
    source = (
        "def invert(images, severity, rng):\n    return 255 - images\n"
        "def scatter(images, severity, rng):\n    return images ^ rng.bits(images.shape[1:], images.dtype)\n"
    )
    install("corruptions", source, scatter="scatter", invert="invert", fog="invert")
    assert plugin_corruptions() == ("invert", "scatter")  # a built-in one is not replaced
    assert available()[-2:] == ("invert", "scatter")
    assert np.array_equal(corrupt(photos[:3], "invert", 1), 255 - photos[:3])
    assert np.array_equal(corrupt(photos[1:3], "scatter", 1, index=[1, 2]), corrupt(photos[:3], "scatter", 1)[1:])
    assert not np.array_equal(corrupt(photos[:1], "fog", 1), 255 - photos[:1])
